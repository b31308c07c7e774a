package gpt2

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
)

// llm.c's checkpoint: 256 int32 (magic, version, T, V, L, NH, C, Vp, zeros), then each of the sixteen tensors over all
// layers, little endian. wte has Vp >= V rows. Source: gpt2_build_from_checkpoint in llm.c's train_gpt2.cu.
const (
	llmcMagic      = 20240326
	llmcFloat32    = 3 // versions
	llmcBFloat16   = 5
	llmcHeaderInts = 256
	llmcPadding    = 128 // of the rows of wte
)

// llmcStart is the first bytes of such a file.
var llmcStart = binary.LittleEndian.AppendUint32(nil, llmcMagic)

// llmcOrder lists the tensors' short names in file order.
var llmcOrder = []string{"wte", "wpe", "ln1w", "ln1b", "qkvw", "qkvb", "attprojw", "attprojb",
	"ln2w", "ln2b", "fcw", "fcb", "fcprojw", "fcprojb", "lnfw", "lnfb"}

// inLLMCOrder returns the indices of table's entries in the order in which llm.c stores them.
func inLLMCOrder(table []Param) (order []int) {
	for _, short := range llmcOrder {
		for i, p := range table {
			if p.Short == short {
				order = append(order, i)
			}
		}
	}
	return order
}

// llmcFile is a checkpoint of llm.c in memory.
type llmcFile struct {
	*filemap.Map
	config Config
	padded int // rows of wte
	dtype  dataType
}

// openLLMC maps a checkpoint and checks its header.
func openLLMC(path string) (_ *llmcFile, err error) {
	content, err := mapFile(path, "llm.c's checkpoint")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			content.Close()
		}
	}()
	size := len(content.Bytes)
	var header [llmcHeaderInts]int32
	err = guard(path, func() error {
		_, err := binary.Decode(content.Bytes, binary.LittleEndian, &header)
		return err
	})
	if errors.Is(err, filemap.ErrFault) {
		return nil, err
	} else if err != nil {
		return nil, fileError(path, "the file is cut short: fetch it again", "got %d bytes, want a header of %d", size,
			4*llmcHeaderInts)
	}
	if header[0] != llmcMagic {
		hint := cmp.Or(map[int32]string{
			20240520: "this is a token shard: give it to --data",
			20240327: "this is llm.c's debug state: its weights are in the .bin without _debug_state",
			20240527: "this is llm.c's optimizer state: the weights are in model_*.bin",
		}[header[0]], "llm.c's checkpoints are named gpt2_124M.bin or model_00000000.bin")
		return nil, fileError(path, hint, "got magic number %d, want %d", header[0], llmcMagic)
	}
	dtype, ok := map[int32]dataType{llmcFloat32: float32Type, llmcBFloat16: bfloat16Type}[header[1]]
	if !ok {
		return nil, fileError(path, "write it again with a current llm.c", "got version %d, want %d (float32) or %d "+
			"(bfloat16)", header[1], llmcFloat32, llmcBFloat16)
	}
	c := Config{BlockSize: int(header[2]), VocabSize: int(header[3]), NLayer: int(header[4]), NHead: int(header[5]),
		NEmbd: int(header[6])}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s: header: %w", path, err)
	}
	padded := int(header[7])
	if padded < c.VocabSize || padded > maxRows {
		return nil, fileError(path, "the header is damaged", "got %d rows for a vocabulary of %d", padded, c.VocabSize)
	}
	stored := c
	stored.VocabSize = padded
	if want := 4*llmcHeaderInts + typeSizes[dtype]*ParamCount(stored); size != want {
		return nil, fileError(path, "the file is cut short or damaged: fetch it again", "got %d bytes, want %d for "+
			"L=%d NH=%d C=%d T=%d Vp=%d", size, want, c.NLayer, c.NHead, c.NEmbd, c.BlockSize, padded)
	}
	return &llmcFile{content, c, padded, dtype}, nil
}

// ReadLLMC reads a checkpoint of llm.c, version 3 (float32) or 5 (bfloat16). The rows that pad the vocabulary are
// dropped, so V is the vocabulary itself.
//
// Errors: another kind or version of file, an impossible shape, or a size that doesn't fit the header's shape.
func ReadLLMC(path string) (*Weights, error) {
	f, err := openLLMC(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w, rest := newWeights(f.config), f.Bytes[4*llmcHeaderInts:]
	err = guard(path, func() error {
		for _, i := range inLLMCOrder(Table(f.config)) {
			decode(w.Tensors[i], rest, f.dtype)
			stored := len(w.Tensors[i])
			if i == 0 {
				stored = f.padded * f.config.NEmbd
			}
			rest = rest[typeSizes[f.dtype]*stored:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// WriteLLMC writes w as a checkpoint of llm.c, version 3 (float32), its vocabulary padded to a multiple of 128 with
// rows of zeros. path is replaced in one step; beyond w it holds about a megabyte. begins, if not nil, is called before
// each of the tensors.
func WriteLLMC(path string, w *Weights, begins func(i int)) error {
	if err := w.Validate(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	c := w.Config
	padded := roundUp(c.VocabSize, llmcPadding)
	var header [llmcHeaderInts]int32
	for i, v := range []int{llmcMagic, llmcFloat32, c.BlockSize, c.VocabSize, c.NLayer, c.NHead, c.NEmbd, padded} {
		header[i] = int32(v) // Validate bounds each well below 2^31
	}
	return writeFile(path, func(out *bufio.Writer) error {
		if err := binary.Write(out, binary.LittleEndian, &header); err != nil {
			return err
		}
		for _, i := range inLLMCOrder(Table(c)) {
			if begins != nil {
				begins(i)
			}
			if err := writeFloats(out, w.Tensors[i]); err != nil {
				return err
			}
			if i == 0 {
				if err := writeFloats(out, make([]float32, (padded-c.VocabSize)*c.NEmbd)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
