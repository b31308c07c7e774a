package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Options adjusts [Dataset]. The zero value of a field is its default.
type Options struct {
	Shards   int                         // fineweb-edu: how many training shards of 100 million tokens; default all 99
	Progress func(Progress)              // called about twice a second, and at each file's end
	Tokenize func(data.TokenizeProgress) // the same while tinystories is being tokenized
	Log      *slog.Logger                // default: silent

	// Verify reads what is there already too: a file that has not the hash that was noted for it, or not the content
	// of its kind, is removed and comes again. Without it the sizes are compared.
	Verify bool

	Hub    string       // base URL of the Hugging Face hub; default $HF_ENDPOINT, else https://huggingface.co
	Raw    string       // base URL of GitHub's raw files; default https://raw.githubusercontent.com
	Token  string       // for the hub; default $HF_TOKEN
	Client *http.Client // default: one that honours HTTPS_PROXY

	pause func(ctx context.Context, attempt int, atLeast time.Duration) error // between attempts; tests don't wait
	stall time.Duration                                                       // without a byte, ends an attempt
}

// Progress is how far a download has come.
type Progress struct {
	File           string
	Index, Files   int   // of the file, from 1
	Bytes, Total   int64 // of this file; Total is 0 while unknown
	BytesPerSecond float64
	ETA            time.Duration // of this file; 0: unknown
}

// Dataset brings a cache.Dataset, or GPT-2's weights, into the cache and returns where it lies (as [cache.Open] does):
//
//	shakespeare   one text, checked by SHA-256
//	tinystories   downloaded as text and tokenized into shards
//	fineweb-edu   token shards
//	hellaswag     the validation set's .jsonl
//	gpt2, gpt2-medium, gpt2-large, gpt2-xl   config.json and model.safetensors
//
// What is there already isn't downloaded again, and then no network is needed. A download that breaks off is tried
// again, after growing pauses, from the byte where it stopped; so is one that an earlier run left unfinished. A file
// gets its name when it is complete, has the SHA-256 that is pinned here or that the hub reports, and has the content
// of its kind; a wrong one is removed. A file that is larger than any of the data set is given up.
//
// The hub's own variables are honoured: HF_ENDPOINT (another hub), HF_TOKEN, HF_HUB_OFFLINE (no access to the hub).
//
// Errors: no network, a server's refusal (with its status), a wrong hash or content, a full disk, ctx's end.
func Dataset(ctx context.Context, name string, o Options) (string, error) {
	path, err := fetch(ctx, name, o)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	return path, nil
}

// Model returns a directory with the config.json and model.safetensors of gpt2, gpt2-medium, gpt2-large or gpt2-xl.
// What the Hugging Face libraries of this user have downloaded before is taken as it is, without any network; else
// [Dataset] brings the files into our own cache. Errors are Dataset's.
func Model(ctx context.Context, name string, o Options) (string, error) {
	if dir, ok := cache.HubSnapshot(name); ok {
		return dir, nil
	}
	return Dataset(ctx, name, o)
}

func fetch(ctx context.Context, name string, o Options) (string, error) {
	d, err := cache.Find(name)
	if err != nil {
		return "", err
	}
	if o.Shards < 0 || o.Shards > 0 && !d.Sharded {
		return "", fmt.Errorf("%d shards, want 1 or more of fineweb-edu; hint: leave it out to have all", o.Shards)
	}
	f := newFetcher(o)
	dir := filepath.Join(cache.Dir(), name)
	result := filepath.Join(dir, d.File)
	account, complete := cache.Account{}, false
	there := func() bool {
		account, complete = cache.ReadAccount(dir)
		return complete && (account.Shards == 0 || o.Shards > 0 && o.Shards <= account.Shards)
	}
	if there() && !o.Verify {
		return result, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("%w; hint: check the cache directory's permissions, or set XDG_CACHE_HOME", err)
	}
	held, err := lock.Take(ctx, filepath.Join(cache.Dir(), "."+name+".lock"), -1, func(by lock.Owner) {
		f.o.Log.Info(fmt.Sprintf("waiting for %v, which is fetching %s", by, name))
	})
	switch {
	case errors.Is(err, lock.ErrUnsupported):
		f.o.Log.Warn("no other process may fetch this meanwhile", "name", name, "error", err)
	case ctx.Err() != nil:
		return "", fmt.Errorf("stopped while another process is fetching it: %w; hint: run the same command again",
			ctx.Err())
	case err != nil:
		return "", fmt.Errorf("%w; hint: check the cache directory's permissions, or set XDG_CACHE_HOME", err)
	}
	defer held.Release()
	enough := there() // perhaps since the process that held the lock has fetched it
	if complete && o.Verify {
		damaged, err := f.removeDamaged(ctx, d, dir, account)
		if err != nil {
			return "", err
		}
		enough = enough && !damaged
	}
	if enough {
		return result, nil
	}
	f.sums = map[string]string{}
	for _, file := range account.Files {
		f.sums[file.Name] = file.SHA256
	}
	done := cache.Account{Shards: o.Shards}
	if d.Raw != "" {
		err = f.fetchRaw(ctx, d, dir, &done)
	} else {
		err = f.fetchHub(ctx, d, dir, &done)
	}
	if err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(done, "", "\t")
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, cache.AccountFile), append(raw, '\n'))
	}
	if err != nil {
		return "", fmt.Errorf("%w; hint: check the disk's free space", err)
	}
	f.o.Log.Info("fetched", "name", name, "path", result)
	return result, nil
}

// removeDamaged removes the files of an account that are not what was fetched.
func (f *fetcher) removeDamaged(ctx context.Context, d cache.Dataset, dir string, a cache.Account) (any bool, _ error) {
	for _, file := range a.Files {
		path := filepath.Join(dir, file.Name)
		damage := checkContent(d, path)
		if damage == nil && file.SHA256 != "" {
			sum, err := sumOf(ctx, path)
			if err != nil {
				return any, err
			}
			if sum != file.SHA256 {
				damage = fmt.Errorf("SHA-256 %s, want %s", sum, file.SHA256)
			}
		}
		if damage == nil {
			continue
		}
		f.o.Log.Warn("a file of the cache is damaged and is fetched again", "file", path, "reason", withoutHint(damage))
		if err := os.Remove(path); err != nil {
			return any, fmt.Errorf("%w; hint: remove it by hand", err)
		}
		any = true
	}
	return any, nil
}

// sumOf returns a file's SHA-256 in hexadecimal.
func sumOf(ctx context.Context, path string) (string, error) {
	file, err := plainfile.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w; hint: check the disk", err)
	}
	defer file.Close()
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		n, err := file.Read(buf)
		sum.Write(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(sum.Sum(nil)), nil
		case err != nil:
			return "", fmt.Errorf("%w; hint: check the disk", err)
		case ctx.Err() != nil:
			return "", fmt.Errorf("%s: stopped: %w; hint: run the same command again", path, ctx.Err())
		}
	}
}

// fetcher does the downloads of one Fetch. The hub's client library (go-huggingface) isn't used: it can't resume, takes
// no context and checks no hashes.
type fetcher struct {
	o    Options
	sums map[string]string // SHA-256 of files that were there, as far as it is known

	now      Progress  // of the file at hand
	began    time.Time // of this file
	beganAt  int64
	reported time.Time
}

func newFetcher(o Options) *fetcher {
	o.Hub = strings.TrimSuffix(cmp.Or(o.Hub, os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/")
	o.Raw = strings.TrimSuffix(cmp.Or(o.Raw, "https://raw.githubusercontent.com"), "/")
	o.Token = cmp.Or(o.Token, os.Getenv("HF_TOKEN"))
	o.Client = cmp.Or(o.Client, http.DefaultClient) // proxies from the environment; attempt watches for stalls
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.pause == nil {
		o.pause = pause
	}
	o.stall = cmp.Or(o.stall, time.Minute)
	return &fetcher{o: o}
}

func (f *fetcher) fetchRaw(ctx context.Context, d cache.Dataset, dir string, done *cache.Account) error {
	f.now = Progress{File: d.File, Index: 1, Files: 1}
	sum, err := f.download(ctx, d, f.o.Raw+"/"+d.Raw, filepath.Join(dir, d.File), d.SHA256, false)
	if err != nil {
		return err
	}
	return add(done, dir, d.File, sum)
}

// add enters a file into an account.
func add(a *cache.Account, dir, name, sum string) error {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("%w; hint: try again", err)
	}
	a.Files = append(a.Files, cache.File{Name: name, Bytes: info.Size(), SHA256: sum})
	return nil
}

func (f *fetcher) fetchHub(ctx context.Context, d cache.Dataset, dir string, done *cache.Account) error {
	switch strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "ON", "YES", "TRUE":
		return errors.New("HF_HUB_OFFLINE forbids access to the Hugging Face hub; hint: unset it, or copy the files " +
			"into " + dir)
	}
	commit, all, err := f.list(ctx, d)
	if err != nil {
		return err
	}
	done.Commit = commit
	var names []string
	for _, pattern := range d.Names {
		var found []string
		for _, n := range all {
			if ok, _ := path.Match(pattern, n); ok {
				found = append(found, n)
			}
		}
		if len(found) == 0 {
			return fmt.Errorf("%s: no file %s in the repository; hint: it may have moved: report this as a bug", d.Repo,
				pattern)
		}
		slices.Sort(found)
		if d.Sharded && f.o.Shards > 0 && data.SplitOf(pattern) == data.Train {
			found = found[:min(f.o.Shards, len(found))]
		}
		names = append(names, found...)
	}
	into := dir
	if d.Separator != "" {
		into = filepath.Join(dir, "download")
		if err := os.MkdirAll(into, 0o755); err != nil {
			return fmt.Errorf("%w; hint: check the cache directory's permissions", err)
		}
	}
	prefix := f.o.Hub + "/"
	if d.Kind != "models" {
		prefix += d.Kind + "/"
	}
	for i, n := range names {
		f.now = Progress{File: n, Index: i + 1, Files: len(names)}
		dest := filepath.Join(into, n)
		sum := f.sums[n]
		if checkContent(d, dest) != nil { // else it is there, and complete
			u := prefix + d.Repo + "/resolve/" + commit + "/" + n
			if sum, err = f.download(ctx, d, u, dest, "", true); err != nil {
				return err
			}
		}
		if err := add(done, into, n, sum); err != nil {
			return err
		}
	}
	if d.Separator != "" {
		return f.tokenize(ctx, d, into, dir, names, done)
	}
	return nil
}

// tokenize makes shards in dir of the texts in from, and removes those.
func (f *fetcher) tokenize(ctx context.Context, d cache.Dataset, from, dir string, names []string,
	done *cache.Account) error {
	done.Files = nil
	for _, n := range names {
		r, err := data.Tokenize(ctx, []string{filepath.Join(from, n)}, data.TokenizeOptions{Out: dir, Format: "bin",
			Name: filepath.Base(dir), Split: data.SplitOf(n), Separator: d.Separator, Progress: f.o.Tokenize,
			Log: f.o.Log})
		if err != nil {
			return err
		}
		for _, s := range r.Shards {
			sum, err := sumOf(ctx, s)
			if err != nil {
				return err
			}
			if err := add(done, dir, filepath.Base(s), sum); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(from); err != nil {
		return fmt.Errorf("%w; hint: remove the directory by hand", err)
	}
	return nil
}

// list returns a repository's present commit and the names of its files.
func (f *fetcher) list(ctx context.Context, d cache.Dataset) (commit string, names []string, err error) {
	u := f.o.Hub + "/api/" + d.Kind + "/" + d.Repo + "/revision/main"
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	err = f.retry(ctx, u, func(ctx context.Context) (bool, error) {
		resp, err := f.get(ctx, u, true, nil)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false, refused(resp)
		}
		raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
		if err == nil {
			err = exactjson.Unmarshal(raw, &info)
		}
		if err == nil && (info.SHA == "" || strings.ContainsAny(info.SHA, "/?#")) {
			err = final{fmt.Errorf("an answer without a commit; hint: HF_ENDPOINT must name a Hugging Face hub")}
		}
		return false, err
	})
	if err != nil {
		return "", nil, err
	}
	for _, s := range info.Siblings {
		names = append(names, s.Name)
	}
	return info.SHA, names, nil
}
