package gpt2

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Checksum is what state.json knows of another file of its checkpoint.
type Checksum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

func checksumOf(path string) (c Checksum, err error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, atomicfile.Reason(err))
	}
	defer f.Close()
	sum := sha256.New()
	if c.Bytes, err = io.Copy(sum, f); err != nil {
		return c, err
	}
	c.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
	return c, nil
}

// ChecksumsOf returns the checksums of files in dir, each computed by a core of its own, and what kept one from being
// read.
func ChecksumsOf(dir string, names []string) ([]Checksum, []error) {
	sums, errs := make([]Checksum, len(names)), make([]error, len(names))
	parallel.Do(len(names), func(i int) error {
		sums[i], errs[i] = checksumOf(filepath.Join(dir, names[i]))
		return nil
	})
	return sums, errs
}

// Verify compares files in dir with their checksums. Those for which must is false may differ; changed names them.
// Errors: a file that must be as it was written is not, or cannot be read.
func Verify(dir string, want map[string]Checksum, must func(name string) bool) (changed []string, err error) {
	names := slices.Sorted(maps.Keys(want))
	for _, name := range names {
		if name != filepath.Base(name) || !filepath.IsLocal(name) || name == "." {
			return nil, fmt.Errorf("%s: not as it was written: checksums has %.80q, want names of files beside it",
				filepath.Join(dir, StateFile), name)
		}
	}
	sums, errs := ChecksumsOf(dir, names)
	for i, name := range names {
		path, want := filepath.Join(dir, name), want[name]
		got, err := sums[i], errs[i]
		switch {
		case err == nil && got == want:
			continue
		case err == nil && got.Bytes != want.Bytes:
			err = fmt.Errorf("%s: not as it was written: %d bytes, want %d", path, got.Bytes, want.Bytes)
		case err == nil:
			err = fmt.Errorf("%s: not as it was written: SHA-256 %s, want %s", path, got.SHA256, want.SHA256)
		}
		if must(name) {
			return nil, err
		}
		changed = append(changed, name)
	}
	return changed, nil
}

const maxState = 64 << 20 // bytes; a data set of 100 shards takes 20 kB

// ownChecksum matches the field of state.json that its checksum leaves out: the last one.
var ownChecksum = regexp.MustCompile(`,\s*"sha256": "([0-9a-f]{64})"\s*\}\s*$`)

// ReadState reads a checkpoint's state.json into state and compares it with its own checksum. A file of before there
// were checksums has none. Errors: it cannot be read, is not JSON, or is not as it was written.
func ReadState(dir string, state any) (raw []byte, err error) {
	path := filepath.Join(dir, StateFile)
	if raw, err = plainfile.Read(path, maxState); err != nil {
		return nil, fmt.Errorf("%s: %w", path, atomicfile.Reason(err))
	}
	var own struct {
		SHA256 string `json:"sha256"`
	}
	if err := cmp.Or(exactjson.Unmarshal(raw, state), exactjson.Unmarshal(raw, &own)); err != nil {
		return nil, fmt.Errorf("%s: not as it was written: %w", path, err)
	}
	if own.SHA256 == "" {
		return raw, nil
	}
	at := ownChecksum.FindIndex(raw)
	if at == nil {
		return nil, fmt.Errorf("%s: not as it was written: its sha256 is not the last field", path)
	}
	got := fmt.Sprintf("%x", sha256.Sum256(slices.Concat(raw[:at[0]], []byte("\n}\n"))))
	if got != own.SHA256 {
		return nil, fmt.Errorf("%s: not as it was written: SHA-256 %s, want %s", path, got, own.SHA256)
	}
	return raw, nil
}

// stateOfWeights is what reading weights takes from a checkpoint's state.json.
type stateOfWeights struct {
	Tokenizer string `json:"tokenizer"`
	Config    struct {
		SeqLen      int     `json:"seq_len"`
		Data        string  `json:"data"`
		ValFraction float64 `json:"val_fraction"`
	} `json:"config"`
	Checksums map[string]Checksum `json:"checksums"`
}

// verify compares the files that are read along with the weights with their checksums. The optimizer's state,
// which has twice their size, is not read.
func (s stateOfWeights) verify(dir string) (changed []string, err error) {
	read := maps.Clone(s.Checksums)
	maps.DeleteFunc(read, func(name string, _ Checksum) bool {
		return strings.HasSuffix(name, ".safetensors") && name != weightsFile
	})
	named := slices.Contains([]string{"", "gpt2", "bytes", "ids"}, s.Tokenizer)
	return Verify(dir, read, func(name string) bool {
		return name == weightsFile || name == configFile || !named && name != GenerationFile
	})
}
