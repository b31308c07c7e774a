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

// autoFraction is what AutoFraction means for a user's own text.
const autoFraction = 0.1

// openData opens what the run trains and validates on, and settles the part of the text that validates.
// tokens is how many the training data had at the checkpoint that the run goes on from; 0: unknown, or there is none.
func (r *run) openData(tokens int64) error {
	var err error
	if r.tok == nil { // no weights and no other rank brought one
		if r.tok, err = data.NewTokenizer(r.cfg.Tokenizer); err != nil {
			return err
		}
	}
	parts, err := data.Find(r.cfg.Data)
	if err != nil {
		return r.dataError(r.cfg.Data, data.Train, err)
	}
	if err := r.refuseUnused(parts); err != nil {
		return err
	}
	if err := r.openTraining(parts, tokens); err != nil {
		return err
	}
	r.infof("1 epoch = %d batches", r.loader.Batches())

	spec := r.cfg.ValData
	if spec == "" && r.val == nil && parts.Validation() != nil && r.cfg.ValEvery > 0 {
		spec = r.cfg.Data
	}
	r.valSteps = r.cfg.ValSteps
	switch {
	case spec != "":
		c, err := r.openCorpus(spec, data.Val)
		if err != nil && r.cfg.ValData != "" {
			return fmt.Errorf("--val-data: %w", err)
		} else if err != nil {
			return err
		}
		r.val, err = r.newLoader(c)
		return err
	case r.val != nil:
		r.valSteps = min(r.valSteps, int(r.val.Batches())/r.group.Size()) // the whole of it, once
	case r.cfg.ValEvery > 0:
		return r.noValidation(parts)
	}
	return nil
}

// refuseUnused refuses a --val-fraction that contradicts other flags or the data.
func (r *run) refuseUnused(parts data.Parts) error {
	switch f := r.cfg.ValFraction; {
	case f <= 0 || !r.cfg.given("val-fraction"):
	case r.cfg.ValData != "":
		return usagef("--val-fraction %v and --val-data %s contradict each other; hint: use one", f, r.cfg.ValData)
	case parts.Validation() != nil:
		return usagef("--val-fraction %v: --data %s has files for validation (%v); hint: leave --val-fraction out", f,
			r.cfg.Data, parts)
	}
	return nil
}

// openTraining opens the training data, and parts it where a fraction validates.
func (r *run) openTraining(parts data.Parts, tokens int64) error {
	f := r.cfg.ValFraction
	auto := f == AutoFraction
	if f > 0 && !r.cfg.Resume && !r.cfg.given("val-fraction") && (r.cfg.given("val-data") ||
		parts.Validation() != nil) {
		f = 0 // of a --config for other data
	}
	var only []data.Option
	if r.cfg.ValData != "" || r.cfg.ValEvery == 0 || f > 0 {
		only = append(only, data.TrainingOnly())
	}
	if auto {
		f = 0
		if parts.Texts && parts.Validation() == nil && r.cfg.ValData == "" && r.cfg.ValEvery > 0 {
			f = autoFraction
		}
	}
	if f > 0 {
		c, err := r.openCorpus(r.cfg.Data, data.Train, append(only, data.Joined())...)
		if err != nil {
			return err
		}
		train, val := c.Divide(f)
		short := r.tooShort(f, train, val)
		if short == nil {
			r.cfg.ValFraction = f
			if r.loader, err = r.newLoader(train); err == nil {
				r.val, err = r.newLoader(val)
			}
			_, unused := train.Rows(r.cfg.SeqLen)
			what := "validation"
			if r.cfg.ValData != "" || r.cfg.ValEvery == 0 { // a resumed run trains on what it did before
				what = "neither trained nor validated on"
			}
			r.infof("%s: %d of %d tokens, in %s spread over the text (--val-fraction %v); %d tokens beside them are "+
				"unused", what, val.Len(), c.Len(), blocks(val.Blocks()), f, unused)
			return err
		}
		if !auto {
			return usagef("--val-fraction %w; hint: a %s fraction, a smaller --batch-size or --seq-len, or "+
				"--val-fraction 0", short.error, short.try)
		}
		for _, flag := range []string{"val-every", "val-steps"} {
			if r.cfg.given(flag) {
				return usagef("--%s: no validation: %w; hint: a longer text, a smaller --batch-size, --val-data "+
					"SPEC, or leave --%s out", flag, short.error, flag)
			}
		}
		r.infof("no validation: %v; hint: a longer text, a smaller --batch-size, or --val-data", short.error)
		r.corpora = r.corpora[:len(r.corpora)-1]
		if err := c.Close(); err != nil {
			return err
		}
	}
	r.cfg.ValFraction = 0
	c, err := r.openCorpus(r.cfg.Data, data.Train, only...)
	if err != nil {
		return err
	}
	if tokens != 0 && tokens != c.Len() && parts.Train != nil { // a run of before may have read a byte order mark
		old, err := data.Open(r.cfg.Data, r.tok, r.cfg.VocabSize, nil, data.WithSplit(data.Train), data.KeepMark())
		if err == nil && old.Len() == tokens {
			r.corpora[len(r.corpora)-1], c = old, old
		}
	}
	r.loader, err = r.newLoader(c)
	return err
}

// shortPart is a part of the text that has no batch.
type shortPart struct {
	error
	try string // the fraction that may do: "larger" or "smaller"
}

// tooShort reports a part that has no batch; nil: both have one.
func (r *run) tooShort(f float64, train, val *data.Corpus) *shortPart {
	B, T, ranks := r.cfg.BatchSize, r.cfg.SeqLen, r.group.Size()
	for _, p := range []struct {
		of        *data.Corpus
		what, try string
	}{{val, "to validate on", "larger"}, {train, "left to train on", "smaller"}} {
		if rows, _ := p.of.Rows(T); rows < int64(B*ranks) {
			return &shortPart{fmt.Errorf("%v of %s is %d tokens, %d rows of %d with their targets %s, fewer than "+
				"one batch of %d rows (B=%d on %d ranks)",
				f, r.cfg.Data, val.Len(), rows, T, p.what, B*ranks, B, ranks), p.try}
		}
	}
	return nil
}

// noValidation says that there is nothing to validate on: an error if validation was asked for, a word if it is the
// user's own data.
func (r *run) noValidation(parts data.Parts) error {
	for _, flag := range []string{"val-every", "val-steps"} {
		if r.cfg.given(flag) {
			return usagef("--%s: --data %s has no validation part; hint: --val-data SPEC, --val-fraction 0.1, or "+
				"leave --%s out", flag, r.cfg.Data, flag)
		}
	}
	if r.cfg.ValFraction == 0 && !parts.Texts && parts.Train != nil && !parts.Named {
		r.infof("no validation: --data %s has no file for it; hint: --val-data SPEC", r.cfg.Data)
	}
	return nil
}

func blocks(n int) string {
	if n == 1 {
		return "1 block"
	}
	return fmt.Sprintf("%d blocks", n)
}

func (r *run) newLoader(c *data.Corpus) (*data.Loader, error) {
	return data.NewLoader(c, r.cfg.BatchSize, r.cfg.SeqLen, r.group.Rank(), r.group.Size())
}

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
	if from.Checkpoint == "" {
		return nil
	}
	for _, part := range parts {
		now, opened := r.files[part]
		was, known := from.State.DataFiles[part]
		if len(was) > 0 && !opened && r.val == nil && r.cfg.ValEvery > 0 {
			return fmt.Errorf("--data %s: the file that the run validates on is not there, before at %s; hint: "+
				"--val-data PATH names it where it lies now, --val-every 0 goes on without", r.cfg.Data, was[0].Path)
		}
		if !opened || from.State.DataFiles != nil && !known {
			continue
		}
		flag, spec := r.cfg.dataFlag(part)
		_, before := from.State.Config.dataFlag(part)
		other := func(format string, args ...any) error {
			return fmt.Errorf("%s %s: %s; hint: %s PATH names the run's data where it lies now; other data need a new "+
				"run, with another --out and --init %s", flag, spec, fmt.Sprintf(format, args...), flag, r.cfg.Out)
		}
		if !known { // by a program that kept no digests
			if tokens := from.State.Data.Tokens; part == "train" && tokens != 0 && tokens != r.corpora[0].Len() {
				return other("%d tokens, want the run's %d (%s)", r.corpora[0].Len(), tokens, before)
			}
			if len(now) > 0 && r.group.Rank() == 0 {
				r.env.Log.Warn("the checkpoint has no digest of its data: only the number of tokens was compared",
					"data", spec)
			}
			continue
		}
		if len(now) != len(was) {
			what := "now without " + newFile(was, now)
			if len(now) > len(was) {
				what = "new is " + newFile(now, was)
			}
			return other("%d files, want the run's %d (%s): %s", len(now), len(was), before, what)
		}
		moved, at := spec != before, -1 // as the user sees it, be the path in full the same
		for i, id := range now {
			if !id.Same(was[i]) {
				return other("%s is not the file that the run was trained on, %s: got %d bytes with digest %.12s, "+
					"want %d with %.12s", id.Path, was[i].Path, id.Bytes, id.Digest, was[i].Bytes, was[i].Digest)
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
			r.warnf("the data lie elsewhere than before, with the same content: %s (%s), before %s (%s)", spec,
				now[max(at, 0)].Path, before, was[max(at, 0)].Path)
		}
	}
	return nil
}

// dataFlag returns the flag that names a part of the data, and what it names.
func (c Config) dataFlag(part string) (flag, spec string) {
	if part == "val" && c.ValData != "" {
		return "--val-data", c.ValData
	}
	return "--data", c.Data
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
	part := "train"
	if split == data.Val {
		part = "val"
	}
	flag, _ := r.cfg.dataFlag(part)
	was := r.wasFiles[part]
	if !r.cfg.Resume {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
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
				"or start a new run with another --out and --init %s", flag, spec, f.Path, text, r.cfg.Out)
		}
	}
	return err
}
