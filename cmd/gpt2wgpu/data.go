package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
)

var dataCommand = &command{
	group: "Runs and data",
	name:  "data",
	args:  "fetch NAME | tokenize IN... | info FILE...",
	short: "Fetch, tokenize and inspect datasets",
	long: `
fetch brings a dataset into the cache, from where --data takes it by its name, and prints where it lies. A download
that was cut off goes on where it stopped. What is there is compared with its checksums; a damaged file comes again.

` + datasetList() + `
tokenize makes shards of tokens of .txt and .md files, .jsonl (field "text"), .parquet (column "text"), and
directories of these, and prints their names. Before each document stands <|endoftext|>. Files named train, and val,
valid, validation or test, or in folders of these names, become the training and the validation shards; else the
first shard is validation. A run that was stopped goes on behind its last complete shard.

info says what shards and texts hold and decodes their first tokens. Of a directory, or of several files, it leaves
out what is not data.`,
	examples: []string{
		"gpt2wgpu data fetch shakespeare",
		"gpt2wgpu data tokenize corpus/ --out shards --format bin",
		"gpt2wgpu data info shards/*.bin",
	},
	setup: setupData,
}

func datasetList() string {
	var b strings.Builder
	for _, n := range cache.Names() {
		fmt.Fprintf(&b, "  %-12s %s\n", n, cache.Datasets[n].About)
	}
	return b.String()
}

// dataFlags are the flags of data's three verbs, each in a section of its own.
type dataFlags struct {
	fs       *flagSet
	shards   int
	tokenize data.TokenizeOptions
	tok      string
	asJSON   bool
}

func setupData(fs *flagSet) runFunc {
	d := &dataFlags{fs: fs}
	f := fs.section("Fetch", "fetch")
	f.IntVar(&d.shards, "shards", 0, "`shards` of fineweb-edu to train on, of 100 million tokens each; 0 is all")

	o := &d.tokenize
	f = fs.section("Tokenize", "tokenize")
	f.StringVar(&o.Out, "out", "", "`directory` of the shards")
	f.StringVar(&o.Format, "format", "npy", "`format` of the shards: npy (NumPy, as build-nanogpt's), bin (llm.c's)")
	takes(f, "format", "npy", "bin")
	f.Int64Var(&o.ShardTokens, "shard-tokens", 100_000_000, "`tokens` of a shard")
	f.Int64Var(&o.ValTokens, "val-tokens", 0, "`tokens` of the validation shard, where no file is named for "+
		"validation: 0 is one whole shard, or a tenth of a text that is shorter, -1 is none")
	f.StringVar(&d.tok, "tokenizer", "gpt2", "`tokenizer`: gpt2, bytes, or a directory with Hugging Face's files")
	f.StringVar(&o.Separator, "separator", "", "`text` that separates the documents inside a .txt or .md file, such "+
		"as '<|endoftext|>' (default: the file is one document)")

	f = fs.section("Info", "info")
	f.BoolVar(&d.asJSON, "json", false, "print a JSON object per file")

	fs.logFlags(fs.section("Other"))
	return d.run
}

func (d *dataFlags) run(ctx context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return usagef("what to do is missing; hint: gpt2wgpu data fetch, tokenize or info")
	}
	verb, args := args[0], args[1:]
	verbs := []string{"fetch", "tokenize", "info"}
	if !slices.Contains(verbs, verb) {
		hint := didYouMean("", verb, verbs, "fetch, tokenize, info")
		return usagef("%q, want fetch, tokenize or info; hint: %s", verb, hint)
	}
	if err := d.fs.otherVerbs(verb); err != nil {
		return err
	}
	switch verb {
	case "fetch":
		return d.fetch(ctx, e, args)
	case "tokenize":
		return d.makeShards(ctx, e, args)
	}
	return d.info(e, args)
}

func (d *dataFlags) fetch(ctx context.Context, e *env, args []string) error {
	names := cache.Names()
	switch {
	case len(args) != 1:
		return usagef("fetch takes one name, not %d; hint: %s", len(args), strings.Join(names, ", "))
	case !slices.Contains(names, args[0]):
		return usagef("fetch %q: no such dataset; hint: %s", args[0], strings.Join(names, ", "))
	case d.shards < 0 || d.shards > 0 && args[0] != "fineweb-edu":
		return usagef("--shards is %d, want 1 or more, and fineweb-edu; hint: leave it out", d.shards)
	}
	path, err := fetchData(ctx, e, args[0], d.shards, true)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, path)
	return err
}

func (d *dataFlags) makeShards(ctx context.Context, e *env, args []string) error {
	o, bad := d.tokenize, &mistakes{}
	bad.when(len(args) == 0, "tokenize takes texts, got none; hint: gpt2wgpu data tokenize corpus.txt --out DIR")
	bad.when(o.Out == "", "--out is missing; hint: --out DIR for the shards")
	bad.when(o.Format != "npy" && o.Format != "bin", "--format is %q, no such format; hint: npy, bin", o.Format)
	bad.when(o.ShardTokens < 1, "--shard-tokens is %d, want 1 or more; hint: --shard-tokens 100000000", o.ShardTokens)
	tok, err := data.NewTokenizer(d.tok)
	bad.when(err != nil, "--%w", err)
	if err := bad.err(); err != nil {
		return err
	}
	if args, err = data.Expand(args); err != nil {
		return err
	}
	if d.fs.Changed("separator") && !anyText(args) {
		return usagef("--separator has no effect without a .txt or .md file: in .jsonl and .parquet every line or " +
			"row is a document; hint: leave it out")
	}
	m := newMeter(e)
	o.Tokenizer, o.Log, o.Progress = tok, e.log, m.tokenizing
	r, err := data.Tokenize(ctx, args, o)
	if err != nil {
		return err
	}
	s := time.Since(m.began).Seconds()
	e.log.Info(fmt.Sprintf("%d tokens, %d of them for validation, of %d documents in %d shards, %d of which were "+
		"there; %.1f s", r.Tokens, r.ValTokens, r.Documents, len(r.Shards), r.Resumed, s))
	for _, path := range r.Shards {
		if _, err := fmt.Fprintln(e.stdout, path); err != nil {
			return err
		}
	}
	return nil
}

// anyText reports whether a file named like a text is among paths or below them, or something that cannot be looked at.
func anyText(paths []string) (found bool) {
	for _, path := range paths {
		filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			ext := strings.ToLower(filepath.Ext(path))
			found = found || err != nil || ext == ".txt" || ext == ".md"
			return nil
		})
	}
	return found
}

func (d *dataFlags) info(e *env, args []string) error {
	if len(args) == 0 {
		return usagef("info takes files, got none; hint: gpt2wgpu data info shard.npy")
	}
	args, err := data.Expand(args)
	if err != nil {
		return err
	}
	args, left, err := data.InfoFiles(args)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		e.log.Info("not data: " + strings.Join(left, ", "))
	}
	var errs []error // one damaged file does not hide the others
	for i, path := range args {
		info, err := data.Info(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if d.asJSON {
			err = writeJSON(e.stdout, info)
		} else {
			if i > 0 {
				fmt.Fprintln(e.stdout)
			}
			err = printShard(e.stdout, info)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func printShard(w io.Writer, s data.ShardInfo) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	documents := map[string]string{"jsonl": "lines", "parquet": "rows", "llm.c eval": "examples"}[s.Format]
	documents = cmp.Or(documents, "documents")
	fmt.Fprintf(tab, "file\t%s\nformat\t%s, %s", oneline.Of(s.Path), s.Format, bytesWord(s.Bytes))
	switch s.Format {
	case "text", "jsonl", "parquet":
		fmt.Fprintf(tab, ", not tokenized\n%s\t%d\nbegins\t%q\n", documents, s.Documents, s.Text)
	default:
		fmt.Fprintf(tab, "\ntokens\t%d, ids %d to %d\n%s\t%d\n", s.Tokens, s.MinID, s.MaxID, documents, s.Documents)
		fmt.Fprintf(tab, "first ids\t%s\ntext (%s)\t%q\n", strings.Trim(fmt.Sprint(s.First), "[]"),
			oneline.Of(s.Tokenizer), s.Text)
	}
	return tab.Flush()
}
