package data

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
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
)

// FetchOptions adjusts [Fetch]. The zero value of a field is its default.
type FetchOptions struct {
	CacheDir string                 // default: CacheDir()
	Shards   int                    // fineweb-edu: how many training shards of 100 million tokens; default all 99
	Progress func(FetchProgress)    // called about twice a second, and at each file's end
	Tokenize func(TokenizeProgress) // the same while tinystories is being tokenized
	Log      *slog.Logger           // default: silent

	Hub    string       // base URL of the Hugging Face hub; default $HF_ENDPOINT, else https://huggingface.co
	Raw    string       // base URL of GitHub's raw files; default https://raw.githubusercontent.com
	Token  string       // for the hub; default $HF_TOKEN
	Client *http.Client // default: one that honours HTTPS_PROXY

	pause func(ctx context.Context, attempt int, atLeast time.Duration) error // between attempts; tests don't wait
	stall time.Duration                                                       // without a byte, after which an attempt is given up
}

// FetchProgress is how far a download has come.
type FetchProgress struct {
	File           string
	Index, Files   int   // of the file, from 1
	Bytes, Total   int64 // of this file; Total is 0 while unknown
	BytesPerSecond float64
	ETA            time.Duration // of this file; 0: unknown
}

// Fetch brings a dataset, or GPT-2's weights, into the cache and returns where it lies (as [Cached] does):
//
//	shakespeare   one text, checked by SHA-256
//	tinystories   downloaded as text and tokenized into shards
//	fineweb-edu   token shards
//	hellaswag     the validation set's .jsonl
//	gpt2, gpt2-medium, gpt2-large, gpt2-xl   config.json and model.safetensors
//
// What is there already isn't downloaded again, and then no network is needed. A download that breaks off is tried
// again, after growing pauses, from the byte where it stopped; so is one that an earlier run left unfinished. A file
// gets its name when it is complete and has the SHA-256 that is pinned here or that the hub tells; a wrong one is removed.
//
// The hub's own variables are honoured: HF_ENDPOINT (another hub), HF_TOKEN, HF_HUB_OFFLINE (no access to the hub).
//
// Errors: no network, a server's refusal (with its status), a wrong hash or content, a full disk, ctx's end.
func Fetch(ctx context.Context, name string, o FetchOptions) (string, error) {
	path, err := fetch(ctx, name, o)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	return path, nil
}

func fetch(ctx context.Context, name string, o FetchOptions) (string, error) {
	d, ok := datasets[name]
	if !ok {
		return "", unknownDataset(name)
	}
	if o.Shards < 0 || o.Shards > 0 && !d.shardedData {
		return "", fmt.Errorf("%d shards: only fineweb-edu comes in shards, want 1 or more; hint: leave it out to have all", o.Shards)
	}
	f := newFetcher(o)
	dir := filepath.Join(f.o.CacheDir, name)
	result := filepath.Join(dir, d.file)
	there := func() bool {
		c, ok := readComplete(dir)
		return ok && (c.Shards == 0 || o.Shards > 0 && o.Shards <= c.Shards)
	}
	if there() {
		return result, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("%w; hint: check the cache directory's permissions, or set XDG_CACHE_HOME", err)
	}
	held, err := lock.Take(ctx, filepath.Join(f.o.CacheDir, "."+name+".lock"), -1, func(by lock.Owner) {
		f.o.Log.Info(fmt.Sprintf("waiting for %v, which is fetching %s", by, name))
	})
	switch {
	case errors.Is(err, lock.ErrUnsupported):
		f.o.Log.Warn("no other process may fetch this meanwhile", "name", name, "error", err)
	case ctx.Err() != nil:
		return "", fmt.Errorf("stopped while another process is fetching it: %w; hint: run the same command again", ctx.Err())
	case err != nil:
		return "", fmt.Errorf("%w; hint: check the cache directory's permissions, or set XDG_CACHE_HOME", err)
	}
	defer held.Release()
	if there() { // whoever held the lock has fetched it
		return result, nil
	}
	done := complete{Shards: o.Shards}
	if d.raw != "" {
		err = f.fetchRaw(ctx, d, dir, &done)
	} else {
		err = f.fetchHub(ctx, d, dir, &done)
	}
	if err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(done, "", "\t")
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, completeFile), append(raw, '\n'))
	}
	if err != nil {
		return "", fmt.Errorf("%w; hint: check the disk's free space", err)
	}
	f.o.Log.Info("fetched", "name", name, "path", result)
	return result, nil
}

// fetcher does the downloads of one Fetch. The hub's client library (go-huggingface) isn't used: it can't resume, takes
// no context and checks no hashes.
type fetcher struct {
	o FetchOptions

	file         string
	index, files int
	began        time.Time // of this file
	beganAt      int64
	reported     time.Time
}

func newFetcher(o FetchOptions) *fetcher {
	o.CacheDir = cmp.Or(o.CacheDir, CacheDir())
	o.Hub = strings.TrimSuffix(cmp.Or(o.Hub, os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/")
	o.Raw = strings.TrimSuffix(cmp.Or(o.Raw, "https://raw.githubusercontent.com"), "/")
	o.Token = cmp.Or(o.Token, os.Getenv("HF_TOKEN"))
	if o.Client == nil {
		o.Client = &http.Client{} // the default transport: proxies from the environment; stalls are attempt's to see
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.pause == nil {
		o.pause = pause
	}
	o.stall = cmp.Or(o.stall, time.Minute)
	return &fetcher{o: o}
}

// pause waits 1, 2, 4, ... at most 30 seconds, a little varied so that many clients don't come back at once.
func pause(ctx context.Context, attempt int, atLeast time.Duration) error {
	d := min(time.Second<<min(attempt, 5), 30*time.Second)
	d = max(d+time.Duration(rand.Int64N(int64(d/2))), atLeast)
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fetcher) fetchRaw(ctx context.Context, d dataset, dir string, done *complete) error {
	f.file, f.index, f.files = d.file, 1, 1
	dest := filepath.Join(dir, d.file)
	sum, err := f.download(ctx, f.o.Raw+"/"+d.raw, dest, d.sha256, false)
	if err != nil {
		return err
	}
	if d.examples > 0 {
		if err := checkExamples(dest, d.examples); err != nil {
			os.Remove(dest)
			return err
		}
	}
	return done.add(dir, d.file, sum)
}

func checkExamples(path string, want int) error {
	tok, err := NewTokenizer("bytes")
	if err != nil {
		return err
	}
	got, err := ReadHellaSwag(path, tok)
	if err == nil && len(got) != want {
		err = fmt.Errorf("%s: %d questions, want %d; hint: try again; the file was removed", path, len(got), want)
	}
	return err
}

func (c *complete) add(dir, name, sum string) error {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("%w; hint: try again", err)
	}
	c.Files = append(c.Files, completePart{name, info.Size(), sum})
	return nil
}

func (f *fetcher) fetchHub(ctx context.Context, d dataset, dir string, done *complete) error {
	switch strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "ON", "YES", "TRUE":
		return errors.New("HF_HUB_OFFLINE forbids access to the Hugging Face hub; hint: unset it, or copy the files into " + dir)
	}
	commit, all, err := f.list(ctx, d)
	if err != nil {
		return err
	}
	done.Commit = commit
	var names []string
	for _, pattern := range d.names {
		var found []string
		for _, n := range all {
			if ok, _ := path.Match(pattern, n); ok {
				found = append(found, n)
			}
		}
		if len(found) == 0 {
			return fmt.Errorf("%s: no file %s in the repository; hint: it may have moved: report this as a bug", d.repo, pattern)
		}
		slices.Sort(found)
		if d.shardedData && f.o.Shards > 0 && splitName(pattern) == Train {
			found = found[:min(f.o.Shards, len(found))]
		}
		names = append(names, found...)
	}
	into := dir
	if d.separator != "" {
		into = filepath.Join(dir, "download")
		if err := os.MkdirAll(into, 0o755); err != nil {
			return fmt.Errorf("%w; hint: check the cache directory's permissions", err)
		}
	}
	prefix := f.o.Hub + "/"
	if d.kind != "models" {
		prefix += d.kind + "/"
	}
	for i, n := range names {
		f.file, f.index, f.files = n, i+1, len(names)
		dest := filepath.Join(into, n)
		if d.shardedData && shardIsWhole(dest) {
			if err := done.add(dir, n, ""); err != nil {
				return err
			}
			continue
		}
		if _, err := os.Stat(dest); err == nil && !d.shardedData {
			if err := done.add(into, n, ""); err != nil { // it got its name when it was complete
				return err
			}
			continue
		}
		sum, err := f.download(ctx, prefix+d.repo+"/resolve/"+commit+"/"+n, dest, "", true)
		if err != nil {
			return err
		}
		if d.shardedData && !shardIsWhole(dest) {
			_, err := openShard(dest)
			os.Remove(dest)
			return fmt.Errorf("the downloaded file was removed: %w", err)
		}
		if err := done.add(into, n, sum); err != nil {
			return err
		}
	}
	if d.separator != "" {
		return f.tokenize(ctx, d, into, dir, names, done)
	}
	return nil
}

func shardIsWhole(path string) bool {
	s, err := openShard(path)
	if err != nil {
		return false
	}
	return s.close() == nil
}

// tokenize makes shards in dir of the texts in from, and removes those.
func (f *fetcher) tokenize(ctx context.Context, d dataset, from, dir string, names []string, done *complete) error {
	done.Files = nil
	for _, n := range names {
		split := splitName(n)
		r, err := Tokenize(ctx, []string{filepath.Join(from, n)}, TokenizeOptions{Out: dir, Name: filepath.Base(dir), Format: "bin",
			Split: split, Separator: d.separator, Progress: f.o.Tokenize, Log: f.o.Log})
		if err != nil {
			return err
		}
		for _, s := range r.Shards {
			if err := done.add(dir, filepath.Base(s), ""); err != nil {
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
func (f *fetcher) list(ctx context.Context, d dataset) (commit string, names []string, err error) {
	u := f.o.Hub + "/api/" + d.kind + "/" + d.repo + "/revision/main"
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

// final marks an error that another attempt wouldn't mend.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

// busy is a server's wish to be asked again later.
type busy struct {
	error
	after time.Duration
}

// retry calls try until it succeeds, fails for good, or has failed five times in a row without moving on.
func (f *fetcher) retry(ctx context.Context, u string, try func(context.Context) (moved bool, err error)) error {
	const attempts = 5
	for failed := 0; ; {
		moved, err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: stopped: %w; hint: run the same command again to go on", u, ctx.Err())
		}
		var fin final
		if errors.As(err, &fin) {
			return fmt.Errorf("%s: %w", u, fin.error)
		}
		if moved {
			failed = 0
		}
		if failed++; failed == attempts || noHost(err) {
			return fmt.Errorf("%s: %w; hint: check the network (and HTTPS_PROXY, if there is a proxy), then run the same command again: it goes on where it stopped", u, plain(err))
		}
		f.o.Log.Warn("trying again", "url", u, "error", plain(err))
		var b busy
		errors.As(err, &b)
		if err := f.o.pause(ctx, failed-1, b.after); err != nil {
			return fmt.Errorf("%s: stopped: %w; hint: run the same command again to go on", u, err)
		}
	}
}

// noHost reports that a host's name is unknown, which waiting doesn't change.
func noHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// plain takes off the URL that net/http puts before its errors; ours has it already.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refused is the error for a status that isn't success.
func refused(resp *http.Response) error {
	err := fmt.Errorf("the server answered %s", resp.Status)
	if m := resp.Header.Get("X-Error-Message"); m != "" { // the hub's own words
		err = fmt.Errorf("%w (%.200s)", err, strings.Join(strings.Fields(m), " "))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return final{fmt.Errorf("%w; hint: set HF_TOKEN to a token that may read this repository", err)}
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return busy{err, time.Duration(min(max(seconds, 0), 600)) * time.Second}
	}
	return final{fmt.Errorf("%w; hint: the file may have moved: report this as a bug", err)}
}

func (f *fetcher) get(ctx context.Context, u string, hub bool, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, final{fmt.Errorf("%w; hint: check HF_ENDPOINT", err)}
	}
	req.Header.Set("User-Agent", "gpt2wgpu")
	req.Header.Set("Accept-Encoding", "identity") // byte ranges are of the file itself
	if hub && f.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.o.Token) // net/http keeps it from other hosts on a redirect
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return f.o.Client.Do(req)
}

// download brings u to the file dest and returns its SHA-256, which must be want if that isn't "". Until it is complete
// it is dest.part, beside dest.part.tag, which says what version of the file the part is of.
func (f *fetcher) download(ctx context.Context, u, dest, want string, hub bool) (string, error) {
	f.began, f.beganAt = time.Time{}, 0
	part, tagFile := dest+".part", dest+".part.tag"
	told := "" // the SHA-256 that the hub tells
	err := f.retry(ctx, u, func(ctx context.Context) (moved bool, err error) {
		moved, told, err = f.attempt(ctx, u, part, tagFile, hub)
		return moved, err
	})
	if err != nil {
		return "", err
	}
	want = cmp.Or(want, told)
	got, err := fileSHA256(part)
	if err != nil {
		return "", fmt.Errorf("%w; hint: check the disk", err)
	}
	if want != "" && got != want {
		os.Remove(part)
		os.Remove(tagFile)
		return "", fmt.Errorf("%s: SHA-256 %s, want %s; hint: the file was removed; try again, and if that doesn't help it has changed at its source: report this as a bug", u, got, want)
	}
	p, err := os.OpenFile(part, os.O_RDWR, 0)
	if err == nil {
		if err = atomicfile.Publish(p, dest); err == nil {
			os.Remove(tagFile)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w; hint: check the disk's free space", err)
	}
	return got, nil
}

// attempt goes on with a download where part ends. moved: bytes have come. told: the SHA-256 of the whole, if the hub
// tells it.
func (f *fetcher) attempt(ctx context.Context, u, part, tagFile string, hub bool) (moved bool, told string, err error) {
	disk := func(err error) error {
		return final{fmt.Errorf("%w; hint: check the disk's free space and the cache directory's permissions", err)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return false, "", disk(err)
	}
	defer file.Close()
	at, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return false, "", disk(err)
	}
	restart := func() error {
		at = 0
		if err := file.Truncate(0); err != nil {
			return disk(err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return disk(err)
		}
		return nil
	}
	header := map[string]string{}
	tag, err := os.ReadFile(tagFile)
	if at > 0 && (err != nil || len(tag) == 0) { // of which version it is isn't known
		if err := restart(); err != nil {
			return false, "", err
		}
	}
	if at > 0 {
		header["Range"] = fmt.Sprintf("bytes=%d-", at)
	}
	stalled := time.AfterFunc(f.o.stall, func() { cancel(fmt.Errorf("no byte came for %v", f.o.stall)) })
	defer stalled.Stop()
	why := func(err error) error {
		if c := context.Cause(ctx); c != nil && ctx.Err() != nil {
			return c
		}
		return err
	}
	resp, err := f.get(ctx, u, hub, header)
	if err != nil {
		return false, "", why(err)
	}
	defer resp.Body.Close()
	version := versionOf(resp)
	if told = version; len(told) != 64 || strings.Trim(told, "0123456789abcdef") != "" || !hub {
		told = "" // of a small file the hub tells git's hash
	}
	total := int64(-1)
	switch resp.StatusCode {
	case http.StatusOK:
		if at > 0 {
			if err := restart(); err != nil {
				return false, told, err
			}
		}
		total = resp.ContentLength
	case http.StatusPartialContent:
		begin, whole := contentRange(resp)
		if begin != at || version != string(tag) {
			if err := restart(); err != nil {
				return false, told, err
			}
			os.Remove(tagFile)
			return false, told, fmt.Errorf("the file has changed since its first %d bytes came: starting anew", at)
		}
		total = whole
	case http.StatusRequestedRangeNotSatisfiable: // all of it is there, or too much
		if _, whole := contentRange(resp); whole == at && version == string(tag) {
			return false, told, nil
		}
		if err := restart(); err != nil {
			return false, told, err
		}
		os.Remove(tagFile)
		return false, told, errors.New("what was there didn't fit the file: starting anew")
	default:
		return false, told, refused(resp)
	}
	if at == 0 {
		if err := os.WriteFile(tagFile, []byte(version), 0o644); err != nil {
			return false, told, disk(err)
		}
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			stalled.Reset(f.o.stall)
			if _, err := file.Write(buf[:n]); err != nil {
				return moved, told, disk(err)
			}
			at, moved = at+int64(n), true
			f.progress(at, total, false)
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return moved, told, fmt.Errorf("after %d bytes: %w", at, why(err))
		}
	}
	if total >= 0 && at != total {
		return moved, told, fmt.Errorf("the connection closed after %d of %d bytes", at, total)
	}
	f.progress(at, at, true)
	return moved, told, nil
}

// versionOf returns what tells one version of a file from another: of the hub's large files their SHA-256, which the
// redirect to its storage carries, else the ETag. It is never empty.
func versionOf(resp *http.Response) string {
	tag := resp.Header.Get("ETag")
	for r := resp; r != nil; r = r.Request.Response {
		if v := r.Header.Get("X-Linked-Etag"); v != "" {
			tag = v
			break
		}
		if r.Request == nil {
			break
		}
	}
	return cmp.Or(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), "unknown")
}

// contentRange reads "bytes BEGIN-END/WHOLE" or "bytes */WHOLE"; -1 for what isn't told.
func contentRange(resp *http.Response) (begin, whole int64) {
	begin, whole = -1, -1
	span, size, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "/")
	if n, err := strconv.ParseInt(size, 10, 64); err == nil {
		whole = n
	}
	first, _, _ := strings.Cut(span, "-")
	if n, err := strconv.ParseInt(first, 10, 64); err == nil {
		begin = n
	}
	return begin, whole
}

func (f *fetcher) progress(at, total int64, last bool) {
	now := time.Now()
	if f.began.IsZero() {
		f.began, f.beganAt = now, at
	}
	if f.o.Progress == nil || !last && now.Sub(f.reported) < 500*time.Millisecond {
		return
	}
	f.reported = now
	p := FetchProgress{File: f.file, Index: f.index, Files: f.files, Bytes: at, Total: max(0, total)}
	if s := now.Sub(f.began).Seconds(); s > 0 && at > f.beganAt {
		p.BytesPerSecond = float64(at-f.beganAt) / s
		if total > at {
			p.ETA = time.Duration(float64(total-at) / p.BytesPerSecond * float64(time.Second))
		}
	}
	f.o.Progress(p)
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
