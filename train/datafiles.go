package train

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
)

// DataFiles are the files of a run's corpora, by the part that they have in it: "train" and "val".
type DataFiles map[string][]data.FileID

// parts name the corpora in the order in which openData opens them.
var parts = []string{"train", "val"}

// checkData identifies the files of the corpora, and refuses to resume a run with others than it was trained on. The
// same files elsewhere are warned about, and so is a checkpoint of which only the number of tokens is known.
func (r *run) checkData(from origin) error {
	if r.cfg.Out == "" {
		return nil
	}
	r.files = DataFiles{}
	for i, c := range r.corpora {
		ids, err := c.Files()
		if err != nil {
			return err
		}
		for j := range ids {
			if path, err := filepath.Abs(ids[j].Path); err == nil {
				ids[j].Path = path
			}
		}
		r.files[parts[i]] = ids
	}
	if from.checkpoint == "" {
		return nil
	}
	for _, part := range parts {
		now, opened := r.files[part]
		was, known := from.state.DataFiles[part]
		if len(was) > 0 && !opened && r.val == nil && r.cfg.ValEvery > 0 {
			return fmt.Errorf("--data %s: the file that the run validates on is not there, before at %s; hint: "+
				"--val-data PATH names it where it lies now, --val-every 0 goes on without",
				r.cfg.Data, was[0].Path)
		}
		if !opened || from.state.DataFiles != nil && !known {
			continue
		}
		flag, spec, before := "--data", r.cfg.Data, from.state.Config.Data
		if part == "val" && r.cfg.ValData != "" {
			flag, spec = "--val-data", r.cfg.ValData
			if from.state.Config.ValData != "" {
				before = from.state.Config.ValData
			}
		}
		const hint = "hint: %s PATH names the run's data where it lies now; other data need a new run, with another " +
			"--out and --init %s"
		if !known { // by a program that kept no digests
			if tokens := from.state.Data.Tokens; part == "train" && tokens != 0 && tokens != r.corpora[0].Len() {
				return fmt.Errorf("--data %s: %d tokens, want the run's %d (%s); "+hint, spec, r.corpora[0].Len(),
					tokens, before, flag, r.cfg.Out)
			}
			if len(now) > 0 && r.group.Rank() == 0 {
				r.env.Log.Warn("the checkpoint has no digest of its data: only the number of tokens was compared",
					"data", spec)
			}
			continue
		}
		if len(now) != len(was) {
			what := fmt.Sprintf("now without %s", newFile(was, now))
			if len(now) > len(was) {
				what = fmt.Sprintf("new is %s", newFile(now, was))
			}
			return fmt.Errorf("%s %s: %d files, want the run's %d (%s): %s; "+hint, flag, spec, len(now), len(was),
				before, what, flag, r.cfg.Out)
		}
		moved, at := spec != before, -1 // as the user sees it, be the path in full the same
		for i, id := range now {
			if !id.Same(was[i]) {
				return fmt.Errorf("%s %s: %s is not the file that the run was trained on, %s: got %d bytes with "+
					"digest %.12s, want %d with %.12s; "+hint,
					flag, spec, id.Path, was[i].Path, id.Bytes, id.Digest, was[i].Bytes, was[i].Digest, flag, r.cfg.Out)
			}
			if at < 0 && id.Path != was[i].Path {
				moved, at = true, i
			}
		}
		if len(now) == 0 && spec != before {
			return fmt.Errorf("%s is %s, the run has %s; hint: leave the flag out, or start a new run with another "+
				"--out", flag, spec, before)
		}
		if moved && len(now) > 0 && r.group.Rank() == 0 {
			r.env.Log.Warn(fmt.Sprintf("the data lie elsewhere than before, with the same content: %s (%s), before "+
				"%s (%s)", spec, now[max(at, 0)].Path, before, was[max(at, 0)].Path))
		}
	}
	return nil
}

// newFile returns the path of the first of a whose content none of b has, else whose path.
func newFile(a, b []data.FileID) string {
	for _, f := range a {
		if !slices.ContainsFunc(b, f.Same) {
			return f.Path
		}
	}
	for _, f := range a { // a copy of another
		if !slices.ContainsFunc(b, func(o data.FileID) bool { return o.Path == f.Path }) {
			return f.Path
		}
	}
	return "one that is there twice"
}

// dataError says of a resumed run's data that cannot be opened what has happened to them: they are not there, and must
// be named where they lie now, or are not what they were.
func (r *run) dataError(spec string, split data.Split, err error) error {
	part, flag := "train", "--data"
	if split == data.Val {
		part = "val"
		if r.cfg.ValData != "" {
			flag = "--val-data"
		}
	}
	was := r.wasFiles[part]
	switch {
	case !r.cfg.Resume:
		return err
	case errors.Is(err, fs.ErrNotExist):
		lay := ""
		if len(was) > 0 {
			lay = ", before at " + was[0].Path
		}
		return fmt.Errorf("%s %s: the run's data are not there%s (%w); hint: %s PATH names them where they lie now",
			flag, spec, lay, fs.ErrNotExist, flag)
	}
	for _, f := range was {
		if now, failed := data.Identify(f.Path); failed == nil && !now.Same(f) {
			text, _, _ := strings.Cut(err.Error(), "; hint: ")
			return fmt.Errorf("%s %s: %s has changed since the run was trained on it (%s); hint: restore that file, "+
				"or start a new run with another --out and --init %s",
				flag, spec, f.Path, text, r.cfg.Out)
		}
	}
	return err
}
