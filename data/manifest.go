package data

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// manifest is NAME.tokenize.json: what the shards were made from, and where each ended.
type manifest struct {
	Version  int         `json:"version"`
	Settings settings    `json:"settings"`
	Inputs   []inputID   `json:"inputs"`
	Shards   []doneShard `json:"shards"`
	Done     bool        `json:"done"`
}

// settings are the options that the shards' bytes depend on.
type settings struct {
	Name   string `json:"name"`
	Format string `json:"format"`
	// gpt2, bytes, or the folder with its files, beside the manifest
	Tokenizer   string `json:"tokenizer"`
	Fingerprint string `json:"tokenizer_fingerprint,omitempty"` // of one with files
	ShardTokens int64  `json:"shard_tokens"`
	ValTokens   int64  `json:"val_tokens"`
	Split       Split  `json:"split,omitempty"`
	Separator   string `json:"separator,omitempty"`
}

// doneShard is a complete shard, and where the next one begins: Skip tokens into the chunk at Next.
type doneShard struct {
	File   string   `json:"file"`
	Tokens int64    `json:"tokens"`
	Next   position `json:"next"`
	Skip   int64    `json:"skip"`
	Counts          // of what begins before Next
}

const maxManifest = 64 << 20 // bytes

// check returns an error for numbers and names that no run of Tokenize writes.
func (m *manifest) check() error {
	bad := func(i int, field string, got any, want string) error {
		return fmt.Errorf("shards: %d: %s is %v, want %s", i, field, got, want)
	}
	s := m.Settings
	switch {
	case s.Split != "" && s.Split != Train && s.Split != Val:
		return fmt.Errorf("settings.split is %.40q, want train or val", s.Split)
	case s.Fingerprint != "" && !isName(s.Tokenizer):
		return fmt.Errorf("settings.tokenizer is %.80q, want a folder beside this file", s.Tokenizer)
	}
	for i, in := range m.Inputs {
		if in.Bytes < 0 {
			return fmt.Errorf("inputs: %d: bytes is %d, want 0 or more", i, in.Bytes)
		}
	}
	var last position
	for i, s := range m.Shards {
		n := s.Next
		whole := n.File == len(m.Inputs) && n.At == 0
		switch {
		case !isName(s.File):
			return bad(i, "file", fmt.Sprintf("%.80q", s.File), "the name of a file beside this one")
		case s.Tokens < 1 || s.Tokens > maxShardTokens:
			return bad(i, "tokens", s.Tokens, fmt.Sprintf("1 to %d", int64(maxShardTokens)))
		case n.File < last.File || n.File >= len(m.Inputs) && !whole:
			return bad(i, "next.file", n.File, fmt.Sprintf("%d to %d", last.File, len(m.Inputs)))
		case n.At < 0 || n.File == last.File && n.At < last.At || !whole && n.At > m.Inputs[n.File].Bytes:
			return bad(i, "next.at", n.At, "a place in the input, behind the shard before")
		case s.Skip < 0 || s.Skip > maxSkip:
			return bad(i, "skip", s.Skip, fmt.Sprintf("0 to %d", int64(maxSkip)))
		case min(s.Documents, s.Nulls, s.InvalidUTF8) < 0:
			return bad(i, "a count of its texts", min(s.Documents, s.Nulls, s.InvalidUTF8), "0 or more")
		}
		last = n
	}
	return nil
}

// maxSkip is more tokens than any chunk has.
const maxSkip = 1 << 40

// isName reports whether a name is that of a file or folder in a directory, and leads nowhere else.
func isName(name string) bool {
	return name == filepath.Base(name) && filepath.IsLocal(name) && name != "."
}

func (t *tokenizing) manifestPath() string {
	return filepath.Join(t.o.Out, manifestName(t.o.Name, t.o.Split))
}

func manifestName(name string, split Split) string {
	if split != "" {
		name += "_" + string(split)
	}
	return name + ".tokenize.json"
}

// resume reads what an earlier run has left, or starts anew.
func (t *tokenizing) resume() error {
	o := t.o
	want := manifest{Version: 1, Settings: settings{Name: o.Name, Format: o.Format, Tokenizer: o.Tokenizer.Name(),
		ShardTokens: o.ShardTokens, ValTokens: o.ValTokens, Split: o.Split, Separator: o.Separator}}
	if TokenizerFiles(o.Tokenizer) != nil {
		want.Settings.Tokenizer, want.Settings.Fingerprint = o.Name+tokenizerFolder, fingerprint(o.Tokenizer)
	}
	for _, in := range t.inputs {
		want.Inputs = append(want.Inputs, in.ID)
	}
	complete, unfinished, err := t.existing()
	if err != nil {
		return err
	}
	path := t.manifestPath()
	raw, err := plainfile.Read(path, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		if len(complete) > 0 {
			return fmt.Errorf("%s: is there already, but not %s, which says what it was made from; hint: another "+
				"--out, or remove the old shards", complete[0], filepath.Base(path))
		}
		t.m = want
		return t.save()
	} else if err != nil {
		return fmt.Errorf("%w; hint: check the directory's permissions", err)
	}
	if err := cmp.Or(exactjson.Unmarshal(raw, &t.m), t.m.check()); err != nil {
		return fmt.Errorf("%s: %w; hint: remove this file and the shards beside it", path, err)
	}
	if m := t.m; len(m.Shards) > 0 && (m.Version != want.Version || m.Settings != want.Settings ||
		!slices.Equal(m.Inputs, want.Inputs)) {
		what := fmt.Sprintf("%d other inputs", len(m.Inputs))
		if m.Settings != want.Settings {
			what = fmt.Sprintf("other options: %+v, now %+v", m.Settings, want.Settings)
		}
		return fmt.Errorf("%s: these shards were made from %s; hint: another --out, or remove them and this file", path,
			what)
	}
	for _, p := range unfinished {
		if err := os.Remove(p); err != nil {
			return fmt.Errorf("%w; hint: check the directory's permissions", err)
		}
	}
	if len(t.m.Shards) == 0 { // nothing to continue
		t.m = want
		return t.save()
	}
	for i, s := range t.m.Shards { // continue behind the last that is there
		size := int64(len(t.header(s.Tokens))) + 2*s.Tokens
		if info, err := os.Stat(filepath.Join(o.Out, s.File)); err != nil || info.Size() != size {
			t.m.Shards, t.m.Done = t.m.Shards[:i], false
			break
		}
	}
	if !t.m.Done && o.ValTokens == 0 && o.Split == "" && len(t.m.Shards) == 1 && t.m.Shards[0].Tokens != o.ShardTokens {
		t.m.Shards = nil // a small input's validation shard, whose size depends on the rest
	}
	for _, s := range t.m.Shards {
		t.tokens += s.Tokens
		t.Counts = s.Counts
	}
	t.resumed, t.startTokens = len(t.m.Shards), t.tokens
	if t.m.Done {
		t.bytes = sizeOf(t.inputs)
	} else if t.resumed > 0 {
		o.Log.Info("continuing", "shards", t.resumed, "tokens", t.tokens)
	}
	t.startBytes = t.bytes
	return nil
}

// existing returns the files in the directory that are shards of this run's name: complete ones, and those that a
// stopped run left unfinished.
func (t *tokenizing) existing() (complete, unfinished []string, err error) {
	entries, err := os.ReadDir(t.o.Out)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; hint: check --out", err)
	}
	split := cmp.Or(string(t.o.Split), "(?:val|train)")
	shard := regexp.MustCompile(`^(\.?)(` + regexp.QuoteMeta(t.o.Name) + "_" + split + `_\d{6}\.(?:npy|bin))(.*)$`)
	for _, e := range entries {
		path := filepath.Join(t.o.Out, e.Name())
		switch m := shard.FindStringSubmatch(e.Name()); {
		case m == nil:
		case m[1] == "" && m[3] == "":
			complete = append(complete, path)
		case atomicfile.IsTemp(e.Name(), m[2]):
			unfinished = append(unfinished, path)
		}
	}
	return complete, unfinished, nil
}

func (t *tokenizing) save() error {
	raw, err := json.MarshalIndent(t.m, "", "\t")
	if err == nil {
		err = atomicfile.Write(t.manifestPath(), append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%w; hint: check the disk's free space and the directory's permissions", err)
	}
	return nil
}
