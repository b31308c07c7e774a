package gpt2

import (
	"path/filepath"
	"strconv"
	"strings"
)

// Adopt writes the config.json of a directory that has only model.safetensors, and returns the shape that its tensors
// have. heads is the number of heads of a block, which no tensor shows; 0: heads of 64 channels, as in published
// GPT-2s.
// Errors: those of reading the file; a model that is not a GPT-2.
func Adopt(dir string, heads int) (Config, error) {
	path := filepath.Join(dir, weightsFile)
	f, err := openTensors(path)
	if err != nil {
		return Config{}, err
	}
	defer f.close()
	c := Config{NHead: heads}
	for _, t := range f.tensors {
		name := plainName(t.name)
		switch {
		case name == "wte.weight" && len(t.shape) == 2:
			c.VocabSize, c.NEmbd = t.shape[0], t.shape[1]
		case name == "wpe.weight" && len(t.shape) == 2:
			c.BlockSize = t.shape[0]
		case strings.HasPrefix(name, "h."):
			number, _, _ := strings.Cut(name[2:], ".")
			if l, err := strconv.Atoi(number); err == nil && l < len(f.tensors) {
				c.NLayer = max(c.NLayer, l+1)
			}
		}
	}
	if c.VocabSize == 0 || c.BlockSize == 0 || c.NLayer == 0 {
		return Config{}, fileError(path, "GPT-2's weights in Hugging Face's layout are read", "got %d tensors "+
			"without wte.weight, wpe.weight or h.0, want a GPT-2", len(f.tensors))
	}
	if c.NHead == 0 && c.NEmbd%64 != 0 || c.NHead == 0 && c.NEmbd < 768 {
		return Config{}, fileError(path, "the model's config.json says it", "got %d channels, want to know their heads",
			c.NEmbd)
	}
	if c.NHead == 0 {
		c.NHead = c.NEmbd / 64
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	config, err := configJSON(c, nil)
	if err != nil {
		return Config{}, err
	}
	return c, writeBytes(filepath.Join(dir, configFile), config)
}
