package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// checksum is what is known of a checkpoint's file.
type checksum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

func checksumOf(path string) (c checksum, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	sum := sha256.New()
	if c.Bytes, err = io.Copy(sum, f); err != nil {
		return c, err
	}
	c.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

// checksumsOf returns the checksums of files in dir, each computed by a core of its own, and what kept one from being
// read.
func checksumsOf(dir string, names []string) ([]checksum, []error) {
	sums, errs := make([]checksum, len(names)), make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Add(1)
		go func() {
			defer wait.Done()
			sums[i], errs[i] = checksumOf(filepath.Join(dir, name))
		}()
	}
	wait.Wait()
	return sums, errs
}

// write writes state.json with the checksums of all that is in dir, and its own.
func (s State) write(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sums, errs := checksumsOf(dir, names)
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	s.Checksums, s.SHA256 = map[string]checksum{}, ""
	for i, name := range names {
		s.Checksums[name] = sums[i]
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append(raw, '\n'))
	s.SHA256 = hex.EncodeToString(sum[:])
	if raw, err = json.MarshalIndent(s, "", "  "); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, gpt2.StateFile), append(raw, '\n'))
}

// ownChecksum matches the field of state.json that the checksum leaves out: the last one.
var ownChecksum = regexp.MustCompile(`,\s*"sha256": "([0-9a-f]{64})"\s*\}\s*$`)

// readState returns a checkpoint's state. Errors: a file that cannot be read, is not JSON or is not as it was written.
func readState(dir string) (s State, err error) {
	path := filepath.Join(dir, gpt2.StateFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := exactjson.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: not as it was written: %w", path, err)
	}
	if s.SHA256 != "" {
		at := ownChecksum.FindIndex(raw)
		if at == nil {
			return s, fmt.Errorf("%s: not as it was written: its sha256 is not the last field", path)
		}
		sum := sha256.Sum256(slices.Concat(raw[:at[0]], []byte("\n}\n")))
		if got := hex.EncodeToString(sum[:]); got != s.SHA256 {
			return s, fmt.Errorf("%s: not as it was written: SHA-256 %s, want %s", path, got, s.SHA256)
		}
	}
	var fields struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	if err := exactjson.Unmarshal(raw, &fields); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	s.Config.asBefore(fields.Config)
	if s.Optimizer == "" {
		s.Optimizer = "adamw" // the only one before state.json named it
	}
	return s, nil
}

// verify compares a checkpoint's files with the checksums of its state. Files that a resume does not read, such as the
// tokenizer's, may be changed; changed names them.
func (s State) verify(dir string) (changed []string, err error) {
	names := make([]string, 0, len(s.Checksums))
	for name := range s.Checksums {
		names = append(names, name)
	}
	slices.Sort(names)
	sums, errs := checksumsOf(dir, names)
	for i, name := range names {
		path, want := filepath.Join(dir, name), s.Checksums[name]
		got, err := sums[i], errs[i]
		switch {
		case err == nil && got == want:
			continue
		case err == nil && got.Bytes != want.Bytes:
			err = fmt.Errorf("%s: not as it was written: %d bytes, want %d", path, got.Bytes, want.Bytes)
		case err == nil:
			err = fmt.Errorf("%s: not as it was written: SHA-256 %s, want %s", path, got.SHA256, want.SHA256)
		}
		if foreign := data.IsPath(s.Tokenizer); !foreign && name != "config.json" && !strings.HasSuffix(name,
			".safetensors") {
			changed = append(changed, name)
			continue
		}
		return nil, err
	}
	return changed, nil
}
