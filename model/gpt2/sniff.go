package gpt2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// What stands in the place of weights when a download or a conversion went wrong, by the first bytes of the file.

const sniffed = 512 // bytes that foreign looks at

var lfsStart = []byte("version https://git-lfs.github.com/spec/")

// foreign says what a file is whose first bytes are head, if it is none of this package's: what was found and a hint.
// Both are empty for a file that it doesn't recognise. path is named in the hint's command.
func foreign(path string, head []byte) (found, hint string) {
	switch text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"); {
	case len(head) == 0:
		return "got an empty file (0 bytes)", "the download or the copy failed: fetch it again"
	case bytes.HasPrefix(head, lfsStart):
		return "got a Git LFS pointer, a text that stands for the file", "git lfs pull, in the directory that was " +
			"cloned, brings the file itself"
	case bytes.HasPrefix(text, []byte("<")):
		return "got an HTML or XML page", "the download saved a web page: use the file's download link " +
			"(/resolve/main/, not /blob/main/)"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "got a PyTorch checkpoint (a zip archive)", torchHint(path)
	case len(head) > 1 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return "got a PyTorch checkpoint (a pickle)", torchHint(path)
	case bytes.HasPrefix(head, []byte("GGUF")):
		return "got a GGUF file", "GGUF is not read here: use the Hugging Face directory that it was converted from"
	case bytes.HasPrefix(head, []byte("\x89HDF\r\n")):
		return "got an HDF5 file (TensorFlow's weights)",
			`convert it: python3 -c "from transformers import AutoModelForCausalLM as M; M.from_pretrained('DIR', ` +
				`from_tf=True).save_pretrained('OUT', safe_serialization=True)"`
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return "got a NumPy array", "a token shard belongs to --data"
	case len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader:
		return "got a safetensors file", fmt.Sprintf("name its directory, which must have its config.json too: %s",
			filepath.Dir(path))
	}
	return "", ""
}

// torchHint is the command that turns PyTorch's file into one that is read here.
func torchHint(path string) string {
	if name := filepath.Base(path); strings.HasPrefix(name, "pytorch_model") {
		return transformersHint(filepath.Dir(path))
	}
	return fmt.Sprintf("PyTorch's files are not read here; docs/nanogpt_to_hf.py in this program's source converts "+
		"nanoGPT's: python3 nanogpt_to_hf.py %s OUT, then name OUT", path)
}

// transformersHint is the command that saves a directory of pytorch_model.bin as safetensors.
func transformersHint(dir string) string {
	out := strings.TrimRight(dir, `/\`) + "-safetensors"
	if base := filepath.Base(dir); base == "." || base == ".." {
		out = filepath.Join(dir, "safetensors")
	}
	return fmt.Sprintf(
		`convert it: python3 -c "from transformers import AutoModelForCausalLM as M; `+
			`M.from_pretrained('%s').save_pretrained('%s', safe_serialization=True)", then name %s`, dir, out, out)
}

// refuseForeign reports a file that is something else than what is wanted, if its first bytes say so.
func refuseForeign(path string, head []byte, want string) error {
	found, hint := foreign(path, head)
	if found == "" {
		return nil
	}
	return fileError("read", path, hint, "%s, want %s", found, want)
}

// readHead returns the first bytes of a file; fewer where it is shorter, none where it can't be read.
func readHead(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, sniffed)
	n, _ := io.ReadFull(f, head)
	return head[:n]
}

// inPlaceOfWeights says what a directory without model.safetensors has, and how to make one from it.
func inPlaceOfWeights(dir string) (found, hint string) {
	has := func(pattern string) string {
		if list, _ := filepath.Glob(filepath.Join(escapeGlob(dir), pattern)); len(list) > 0 {
			return filepath.Base(list[0])
		}
		return ""
	}
	for _, x := range []struct{ pattern, what string }{
		{"pytorch_model.bin", "only PyTorch's pytorch_model.bin"},
		{"pytorch_model.bin.index.json", "only PyTorch's sharded pytorch_model-*.bin"},
		{"pytorch_model-*.bin", "only PyTorch's sharded pytorch_model-*.bin"},
	} {
		if name := has(x.pattern); name != "" {
			if head := readHead(filepath.Join(dir, name)); bytes.HasPrefix(head, lfsStart) {
				_, hint := foreign(name, head)
				return "only " + name + ", which is a Git LFS pointer", hint
			}
			return x.what, transformersHint(dir)
		}
	}
	for _, x := range []struct{ pattern, what string }{
		{"snapshots/*/config.json", "the Hugging Face hub's cache, with the model in a directory below"},
		{"*/" + CheckpointsDir, "a directory of runs"},
		{"checkpoint-*/config.json", "a directory of checkpoints"},
	} {
		if list, _ := filepath.Glob(filepath.Join(escapeGlob(dir), filepath.FromSlash(x.pattern))); len(list) > 0 {
			return x.what, fmt.Sprintf("name one, such as %s", filepath.Dir(list[len(list)-1]))
		}
	}
	if has("adapter_config.json") != "" || has("adapter_model.*") != "" {
		return "only an adapter (LoRA), not a whole model", loraHint
	}
	if name := has("*.gguf"); name != "" {
		return "only " + name, "GGUF is not read here: use the Hugging Face directory that it was converted from"
	}
	if has("tf_model.h5") != "" {
		return "only TensorFlow's tf_model.h5", fmt.Sprintf(
			`convert it: python3 -c "from transformers import AutoModelForCausalLM as M; M.from_pretrained('%s', `+
				`from_tf=True).save_pretrained('OUT', safe_serialization=True)", then name OUT`, dir)
	}
	if has("flax_model.msgpack") != "" {
		return "only Flax's flax_model.msgpack", fmt.Sprintf(
			`convert it: python3 -c "from transformers import AutoModelForCausalLM as M; M.from_pretrained('%s', `+
				`from_flax=True).save_pretrained('OUT', safe_serialization=True)", then name OUT`, dir)
	}
	for _, pattern := range []string{"*.pt", "*.pth", "*.ckpt"} {
		if name := has(pattern); name != "" {
			return "only PyTorch's " + name, torchHint(filepath.Join(dir, name))
		}
	}
	if name := has("model-*-of-*.safetensors"); name != "" {
		return "shards without their index", "fetch model.safetensors.index.json too"
	}
	if name := has("*.safetensors"); name != "" {
		return "only " + name, fmt.Sprintf("rename it to %s", weightsFile)
	}
	if name := has("*.bin"); name != "" && bytes.HasPrefix(readHead(filepath.Join(dir, name)), llmcStart) {
		return "only llm.c's " + name, fmt.Sprintf("name the file: %s", filepath.Join(dir, name))
	}
	return "", ""
}

const loraHint = "merge it into its model first: peft's AutoPeftModelForCausalLM." +
	"from_pretrained('DIR').merge_and_unload().save_pretrained('OUT'), then name OUT"

// escapeGlob makes filepath.Glob take a directory's name as it is.
func escapeGlob(dir string) string {
	// Windows has no escape there, and names without these characters are all that match
	if filepath.Separator == '\\' {
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}
