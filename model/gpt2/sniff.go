package gpt2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// What stands in the place of weights when a download or a conversion went wrong, by the first bytes of the file.

const sniffed = 512 // bytes that are enough for foreign

// lfsStart begins a Git LFS pointer.
var lfsStart = []byte("version https://git-lfs.github.com/spec/")

const (
	ggufHint = "GGUF is not read here: use the Hugging Face directory that it was converted from"
	loraHint = "merge it into its model first: peft's AutoPeftModelForCausalLM." +
		"from_pretrained('DIR').merge_and_unload().save_pretrained('OUT'), then name OUT"
)

// foreign says what a file is whose first bytes are head, if it is none of this package's: what was found and a hint.
// Both are empty for a file that it doesn't recognise. path is named in the hint's command.
func foreign(path string, head []byte) (found, hint string) {
	switch text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n"); {
	case len(head) == 0:
		return "an empty file (0 bytes)", "the download or the copy failed: fetch it again"
	case len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader:
		return "a safetensors file", "name its directory, which must have its config.json too: " + filepath.Dir(path)
	case bytes.HasPrefix(head, lfsStart):
		return "a Git LFS pointer, a text that stands for the file",
			"git lfs pull, in the directory that was cloned, brings the file itself"
	case bytes.HasPrefix(text, []byte("<")):
		return "an HTML or XML page",
			"the download saved a web page: use the file's download link (/resolve/main/, not /blob/main/)"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "a PyTorch checkpoint (a zip archive)", torchHint(path)
	case len(head) > 1 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return "a PyTorch checkpoint (a pickle)", torchHint(path)
	case bytes.HasPrefix(head, []byte("GGUF")):
		return "a GGUF file", ggufHint
	case bytes.HasPrefix(head, []byte("\x89HDF\r\n")):
		return "an HDF5 file (TensorFlow's weights)", convertHint("DIR", ", from_tf=True", "OUT")
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return "a NumPy array", "a token shard belongs to --data"
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
	return convertHint(dir, "", out)
}

// convertHint is the command that saves the model in dir, which needs options to be read, as safetensors in out.
func convertHint(dir, options, out string) string {
	return fmt.Sprintf(`convert it: python3 -c "from transformers import AutoModelForCausalLM as M; `+
		`M.from_pretrained('%s'%s).save_pretrained('%s', safe_serialization=True)", then name %[3]s`, dir, options, out)
}

// refuseForeign reports a file that is something else than what is wanted, if its first bytes say so.
func refuseForeign(path string, head []byte, want string) error {
	found, hint := foreign(path, head)
	if found == "" || found == want {
		return nil
	}
	return fileError(path, hint, "got %s, want %s", found, want)
}

// inPlaceOfWeights says what a directory without model.safetensors has, and how to make one from it.
func inPlaceOfWeights(dir string) (found, hint string) {
	const below = "name one, such as "
	torch := transformersHint(dir)
	for _, x := range []struct{ pattern, what, hint string }{ // FILE and PATH stand for the file that is found
		{"pytorch_model.bin", "only PyTorch's FILE", torch},
		{"pytorch_model.bin.index.json", "only PyTorch's sharded pytorch_model-*.bin", torch},
		{"pytorch_model-*.bin", "only PyTorch's sharded FILE", torch},
		{"snapshots/*/config.json", "the Hugging Face hub's cache, with the model in a directory below", below},
		{"*/" + CheckpointsDir, "a directory of runs", below},
		{"checkpoint-*/config.json", "a directory of checkpoints", below},
		{"adapter_config.json", "only an adapter (LoRA), not a whole model", loraHint},
		{"adapter_model.*", "only an adapter (LoRA), not a whole model", loraHint},
		{"*.gguf", "only FILE", ggufHint},
		{"tf_model.h5", "only TensorFlow's FILE", convertHint(dir, ", from_tf=True", "OUT")},
		{"flax_model.msgpack", "only Flax's FILE", convertHint(dir, ", from_flax=True", "OUT")},
		{"*.pt", "only PyTorch's FILE", torchHint("PATH")},
		{"*.pth", "only PyTorch's FILE", torchHint("PATH")},
		{"*.ckpt", "only PyTorch's FILE", torchHint("PATH")},
		{"model-*-of-*.safetensors", "shards without their index", "fetch " + indexFile + " too"},
		{"*.safetensors", "only FILE", "rename it to " + weightsFile},
		{"*.bin", "only llm.c's FILE", "name the file: PATH"},
	} {
		list, _ := fs.Glob(os.DirFS(dir), x.pattern)
		if len(list) == 0 {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(list[len(list)-1]))
		switch head := plainfile.Head(path, sniffed); {
		case bytes.HasPrefix(head, lfsStart):
			x.what = "only FILE, which is a Git LFS pointer"
			_, x.hint = foreign(path, head)
		case x.hint == below:
			x.hint += filepath.Dir(path)
		case x.pattern == "*.bin" && !bytes.HasPrefix(head, llmcStart):
			continue
		}
		name := strings.NewReplacer("FILE", filepath.Base(path), "PATH", path)
		return name.Replace(x.what), name.Replace(x.hint)
	}
	return "", ""
}
