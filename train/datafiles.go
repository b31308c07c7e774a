package train

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/data"
)

// DataFiles are the files of a run's corpora, by the part that they have in it: "train" and "val".
type DataFiles map[string][]data.FileID

// parts name the corpora in the order in which openData opens them.
var parts = []string{"train", "val"}

// checkData identifies the files of the corpora, and refuses to resume a run with others than it was trained on. The same
// files elsewhere are warned about, and so is a checkpoint of which only the number of tokens is known.
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
		if !opened || from.state.DataFiles != nil && !known {
			continue
		}
		flag, spec, before := "--data", r.cfg.Data, from.state.Config.Data
		if part == "val" && r.cfg.ValData != "" {
			flag, spec, before = "--val-data", r.cfg.ValData, from.state.Config.ValData
		}
		const hint = "hint: %s PATH names the run's data where it lies now; other data need a new run, with another --out and --init %s"
		if !known { // by a program that kept no digests
			if tokens := from.state.Data.Tokens; part == "train" && tokens != 0 && tokens != r.corpora[0].Len() {
				return fmt.Errorf("--data %s: %d tokens, want the run's %d (%s); "+hint, spec, r.corpora[0].Len(), tokens, before, flag, r.cfg.Out)
			}
			if len(now) > 0 && r.group.Rank() == 0 {
				r.env.Log.Warn("the checkpoint has no digest of its data: only the number of tokens was compared", "data", spec)
			}
			continue
		}
		if len(now) != len(was) {
			return fmt.Errorf("%s %s: %d files, want the run's %d (%s); "+hint, flag, spec, len(now), len(was), before, flag, r.cfg.Out)
		}
		moved := spec != before // as the user sees it, be the path in full the same
		for i, id := range now {
			if !id.Same(was[i]) {
				return fmt.Errorf("%s %s: %s is not the file that the run was trained on, %s: got %d bytes with digest %.12s, want %d with %.12s; "+hint,
					flag, spec, id.Path, was[i].Path, id.Bytes, id.Digest, was[i].Bytes, was[i].Digest, flag, r.cfg.Out)
			}
			moved = moved || id.Path != was[i].Path
		}
		if len(now) == 0 && spec != before {
			return fmt.Errorf("%s is %s, the run has %s; hint: leave the flag out, or start a new run with another --out", flag, spec, before)
		}
		if moved && len(now) > 0 && r.group.Rank() == 0 {
			r.env.Log.Warn(fmt.Sprintf("the data lie elsewhere than before, with the same content: %s (%s), before %s (%s)", spec, now[0].Path, before, was[0].Path))
		}
	}
	return nil
}

// missingData says of a resumed run's data that are not there how to name them where they lie now.
func (r *run) missingData(spec string, split data.Split, err error) error {
	if !r.cfg.Resume || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	part, flag := "train", "--data"
	if split == data.Val {
		part = "val"
		if r.cfg.ValData != "" {
			flag = "--val-data"
		}
	}
	lay := ""
	if was := r.wasFiles[part]; len(was) > 0 {
		lay = ", before at " + was[0].Path
	}
	return fmt.Errorf("%s %s: the run's data are not there%s (%w); hint: %s PATH names them where they lie now", flag, spec, lay, fs.ErrNotExist, flag)
}
