package gpt2

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
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

// inLLMCOrder calls f for each entry of table, by its index, in the order in which llm.c stores them.
func inLLMCOrder(table []Param, f func(i int) error) error {
	for _, short := range llmcOrder {
		for i, p := range table {
			if p.Short == short {
				if err := f(i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// llmcFile is a checkpoint of llm.c, read up to its tensors.
type llmcFile struct {
	*os.File
	r      *bufio.Reader
	config Config
	padded int // rows of wte
	dtype  dataType
}

// openLLMC reads and checks a checkpoint's header.
func openLLMC(path string) (_ *llmcFile, err error) {
	const doing = "read"
	f, err := os.Open(path)
	if err != nil {
		return nil, osError(doing, path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, osError(doing, path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fileError(doing, path, "name the .bin file itself", "got a directory or device, want a file")
	}
	head := make([]byte, min(sniffed, info.Size()))
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, osError(doing, path, err)
	}
	if err := refuseForeign(path, head, "llm.c's checkpoint"); err != nil {
		return nil, err
	}
	if info.Size() < 4*llmcHeaderInts {
		return nil, fileError(doing, path, "the file is cut short: fetch it again", "got %d bytes, want a header of %d",
			info.Size(), 4*llmcHeaderInts)
	}
	r := bufio.NewReaderSize(f, ioBuffer)
	var header [llmcHeaderInts]int32
	if err := binary.Read(r, binary.LittleEndian, &header); err != nil {
		return nil, osError(doing, path, err)
	}
	if header[0] != llmcMagic {
		hint := "llm.c's checkpoints are named gpt2_124M.bin or model_00000000.bin"
		switch header[0] {
		case 20240520:
			hint = "this is a token shard: give it to --data"
		case 20240327:
			hint = "this is llm.c's debug state: its weights are in the .bin without _debug_state"
		case 20240527:
			hint = "this is llm.c's optimizer state: the weights are in model_*.bin"
		}
		return nil, fileError(doing, path, hint, "got magic number %d, want %d", header[0], llmcMagic)
	}
	var dtype dataType
	switch header[1] {
	case llmcFloat32:
		dtype = float32Type
	case llmcBFloat16:
		dtype = bfloat16Type
	default:
		return nil, fileError(doing, path, "write it again with a current llm.c", "got version %d, want %d "+
			"(float32) or %d (bfloat16)", header[1], llmcFloat32, llmcBFloat16)
	}
	c := Config{BlockSize: int(header[2]), VocabSize: int(header[3]), NLayer: int(header[4]), NHead: int(header[5]),
		NEmbd: int(header[6])}
	padded := int(header[7])
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s: header: %w", path, err)
	}
	if padded < c.VocabSize || padded > maxRows {
		return nil, fileError(doing, path, "the header is damaged", "got %d rows for a vocabulary of %d", padded,
			c.VocabSize)
	}
	size := int64(typeSizes[dtype])
	stored := c
	stored.VocabSize = padded
	if want := 4*llmcHeaderInts + size*int64(ParamCount(stored)); info.Size() != want {
		return nil, fileError(doing, path, "the file is cut short or damaged: fetch it again", "got %d bytes, want "+
			"%d for L=%d NH=%d C=%d T=%d Vp=%d",
			info.Size(), want, c.NLayer, c.NHead, c.NEmbd, c.BlockSize, padded)
	}
	return &llmcFile{f, r, c, padded, dtype}, nil
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
	c, size := f.config, int64(typeSizes[f.dtype])
	table := Table(c)
	w := newWeights(c)
	raw := make([]byte, ioBuffer)
	err = inLLMCOrder(table, func(i int) error {
		for x := w.Tensors[i]; len(x) > 0; {
			n := min(len(x), len(raw)/int(size))
			b := raw[:n*int(size)]
			if _, err := io.ReadFull(f.r, b); err != nil {
				return err
			}
			decode(x[:n], b, f.dtype)
			x = x[n:]
		}
		if i == 0 {
			_, err := io.CopyN(io.Discard, f.r, size*int64(f.padded-c.VocabSize)*int64(c.NEmbd))
			return err
		}
		return nil
	})
	if err != nil {
		return nil, osError("read", path, err)
	}
	return w, nil
}

// WriteLLMC writes w as a checkpoint of llm.c, version 3 (float32), its vocabulary padded to a multiple of 128 with
// rows of zeros. path is replaced in one step; beyond w it holds about a megabyte.
func WriteLLMC(path string, w *Weights) error {
	if err := w.Validate(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	c := w.Config
	padded := roundUp(c.VocabSize, llmcPadding)
	var header [llmcHeaderInts]int32
	for i, v := range []int{llmcMagic, llmcFloat32, c.BlockSize, c.VocabSize, c.NLayer, c.NHead, c.NEmbd, padded} {
		header[i] = int32(v) // Validate bounds each well below 2^31
	}
	zeros := make([]float32, (padded-c.VocabSize)*c.NEmbd)
	return writeFile(path, func(out *bufio.Writer) error {
		if err := binary.Write(out, binary.LittleEndian, &header); err != nil {
			return err
		}
		return inLLMCOrder(Table(c), func(i int) error {
			if err := writeFloats(out, w.Tensors[i]); err != nil {
				return err
			}
			if i == 0 {
				return writeFloats(out, zeros)
			}
			return nil
		})
	})
}
