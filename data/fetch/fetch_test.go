package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
)

// remote is GitHub and the Hugging Face hub in one: it serves files with ETags and byte ranges, the hub's by way of a
// redirect, and can misbehave.
type remote struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string]string // by path: /owner/..., /datasets/OWNER/NAME/resolve/COMMIT/FILE, /OWNER/...
	cutAfter int               // bytes after which connections break; 0: never
	status   []int             // answers to the next requests, instead of content
	requests []string          // "path range"
	auth     []string
	badHash  bool // the hub reports a wrong hash
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func newRemote(t testing.TB) *remote {
	t.Helper()
	for _, v := range []string{"HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
	r := &remote{files: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *remote) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := q.URL.Path
	r.requests = append(r.requests, strings.TrimSpace(path+" "+q.Header.Get("Range")))
	if !strings.HasPrefix(path, "/storage/") {
		r.auth = append(r.auth, q.Header.Get("Authorization"))
	}
	if len(r.status) > 0 {
		code := r.status[0]
		r.status = r.status[1:]
		if code != 0 {
			w.Header().Set("X-Error-Message", "not\nyours")
			w.WriteHeader(code)
			return
		}
	}
	if repo, ok := strings.CutPrefix(path, "/api/"); ok {
		repo, _ = strings.CutSuffix(repo, "/revision/main")
		repo = strings.TrimPrefix(repo, "models/")
		var names []string
		for p := range r.files {
			if n, ok := strings.CutPrefix(p, "/"+repo+"/resolve/"+commit+"/"); ok {
				names = append(names, fmt.Sprintf(`{"rfilename": %q}`, n))
			}
		}
		if names == nil {
			http.NotFound(w, q)
			return
		}
		fmt.Fprintf(w,
			`{"id": %q, "sha": %q, "siblings": [{"rfilename": ".gitattributes"}, {"rfilename": "../evil_val_0.bin"},`+
				` %s]}`, repo, commit, strings.Join(names, ", "))
		return
	}
	content, ok := r.files[strings.TrimPrefix(path, "/storage")]
	if !ok {
		http.NotFound(w, q)
		return
	}
	sum := sha256.Sum256([]byte(content))
	if r.badHash {
		sum[0]++
	}
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	if strings.Contains(path, "/resolve/") && !strings.HasPrefix(path, "/storage/") {
		w.Header().Set("X-Linked-Etag", etag)
		http.Redirect(w, q, "/storage"+path, http.StatusFound)
		return
	}
	if strings.HasPrefix(path, "/storage/") {
		etag = `"storage's own"`
	}
	w.Header().Set("ETag", etag)
	if r.cutAfter > 0 {
		w = &cutter{w, r.cutAfter}
	}
	http.ServeContent(w, q, "", time.Time{}, strings.NewReader(content))
}

// cutter breaks the connection after n bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.ResponseWriter.Write(b[:n])
	c.left -= n
	if n < len(b) {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func (r *remote) options(t testing.TB) Options {
	emptyCache(t)
	return Options{Hub: r.URL, Raw: r.URL,
		pause: func(ctx context.Context, attempt int, atLeast time.Duration) error { return ctx.Err() }}
}

// pin makes text the content that "shakespeare" has, for this test.
func (r *remote) pin(t testing.TB, text string) string {
	d := cache.Datasets["shakespeare"]
	old := d
	sum := sha256.Sum256([]byte(text))
	d.SHA256 = hex.EncodeToString(sum[:])
	cache.Datasets["shakespeare"] = d
	t.Cleanup(func() { cache.Datasets["shakespeare"] = old })
	path := "/" + d.Raw
	r.files[path] = text
	return path
}

func TestFetchText(t *testing.T) {
	r := newRemote(t)
	r.pin(t, manyWords(2_000_000))
	o := r.options(t)
	var last Progress
	o.Progress = func(p Progress) { last = p }
	path, err := Dataset(t.Context(), "shakespeare", o)
	if err != nil {
		t.Fatal(err)
	}
	if last.Bytes != last.Total || last.Bytes < 2_000_000 || last.File != "tinyshakespeare.txt" || last.Index != 1 ||
		last.Files != 1 {
		t.Errorf("last progress %+v", last)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != r.files["/"+cache.Datasets["shakespeare"].Raw] {
		t.Errorf("the file differs: %v", err)
	}
	c, err := data.Open("shakespeare", mustTokenizer(t, "bytes"), 256, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Len() != last.Bytes {
		t.Errorf("%d tokens", c.Len())
	}
	r.Close() // a second time needs no network
	if again, err := Dataset(t.Context(), "shakespeare", o); err != nil || again != path {
		t.Errorf("%q, %v", again, err)
	}
	if names := dirNames(filepath.Dir(path)); len(names) != 2 {
		t.Errorf("left in the cache: %v", names)
	}
}

// TestFetchResumes: after broken connections, busy servers and interruptions a fetch continues where it stopped.
func TestFetchResumes(t *testing.T) {
	r := newRemote(t)
	path := r.pin(t, manyWords(2_000_000))
	size := len(r.files[path])
	r.cutAfter = 300_000
	r.status = []int{503, 0, 429, 0, 500, 502}
	o := r.options(t)
	if _, err := Dataset(t.Context(), "shakespeare", o); err != nil {
		t.Fatal(err)
	}
	ranges := map[string]bool{}
	for _, q := range r.requests {
		ranges[strings.TrimPrefix(q, path+" ")] = true
	}
	for at := 300_000; at < size; at += 300_000 {
		if !ranges["bytes="+strconv.Itoa(at)+"-"] {
			t.Errorf("no request from byte %d on: %v", at, r.requests)
		}
	}

	// A run that ends in between leaves its part to the next.
	o = r.options(t)
	r.cutAfter = 900_000
	ctx, cancel := context.WithCancel(t.Context())
	o.pause = func(ctx context.Context, _ int, _ time.Duration) error { cancel(); return ctx.Err() }
	_, err := Dataset(ctx, "shakespeare", o)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "hint:") {
		t.Fatalf("stopped: %v", err)
	}
	if _, err := data.Open("shakespeare", mustTokenizer(t, "bytes"), 0, nil); err == nil ||
		!strings.Contains(err.Error(), "only in part") {
		t.Errorf("half a fetch opens: %v", err)
	}
	r.cutAfter, r.requests = 0, nil
	if _, err := Dataset(t.Context(), "shakespeare", o); err != nil {
		t.Fatal(err)
	}
	if want := []string{path + " bytes=900000-"}; !slices.Equal(r.requests, want) {
		t.Errorf("requests %v, want %v", r.requests, want)
	}
}

// TestFetchRestarts: a part of another version, or of an unknown one, isn't continued.
func TestFetchRestarts(t *testing.T) {
	r := newRemote(t)
	path := r.pin(t, manyWords(100_000))
	for name, tag := range map[string]string{"another version": "other", "unknown": "", "too long": "same"} {
		o := r.options(t)
		dir := filepath.Join(cache.Dir(), "shakespeare")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		part := strings.Repeat("x", 5000)
		if tag == "same" {
			part = strings.Repeat("x", 200_000)
			sum := sha256.Sum256([]byte(r.files[path]))
			tag = hex.EncodeToString(sum[:])
		}
		write(t, filepath.Join(dir, "tinyshakespeare.txt.part"), []byte(part))
		if tag != "" {
			write(t, filepath.Join(dir, "tinyshakespeare.txt.part.tag"), []byte(tag))
		}
		if _, err := Dataset(t.Context(), "shakespeare", o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A part that is the whole file needs no more bytes.
	o := r.options(t)
	dir := filepath.Join(cache.Dir(), "shakespeare")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tinyshakespeare.txt.part"), []byte(r.files[path]))
	write(t, filepath.Join(dir, "tinyshakespeare.txt.part.tag"), []byte(cache.Datasets["shakespeare"].SHA256))
	if _, err := Dataset(t.Context(), "shakespeare", o); err != nil {
		t.Error(err)
	}
}

func TestFetchErrors(t *testing.T) {
	r := newRemote(t)
	path := r.pin(t, "right")
	check := func(what string, err error, want ...string) {
		t.Helper()
		for _, w := range append(want, "fetch ", "hint: ") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", what, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %q", what, err)
		}
	}
	fetch := func(name string, o Options) error { _, err := Dataset(t.Context(), name, o); return err }

	r.files[path] = "wrong"
	o := r.options(t)
	check("wrong hash", fetch("shakespeare", o),
		"SHA-256 8810ad581e59f2bc3928b261707a71308f7e139eb04820366dc4d5c18d980225, want", path)
	if names := dirNames(filepath.Join(cache.Dir(), "shakespeare")); len(names) != 0 {
		t.Errorf("a wrong file is kept: %v", names)
	}
	r.files[path] = "right"
	if err := fetch("shakespeare", o); err != nil {
		t.Errorf("after a wrong hash: %v", err)
	}

	delete(r.files, path)
	check("missing", fetch("shakespeare", r.options(t)), "404")
	r.status = []int{403}
	check("forbidden", fetch("fineweb-edu", r.options(t)), "403", "not yours", "HF_TOKEN")
	r.status = []int{503, 503, 503, 503, 503, 503, 503, 503}
	check("busy for ever", fetch("shakespeare", r.options(t)), "503", "check the network")
	if len(r.status) != 3 {
		t.Errorf("%d attempts, want 5", 8-len(r.status))
	}
	r.status = nil
	check("unknown", fetch("shakespear", r.options(t)), `"shakespear"`, "fineweb-edu, gpt2,")
	o = r.options(t)
	o.Shards = 3
	check("shards of a text", fetch("shakespeare", o), "3 shards")
	check("no such file in the repository", func() error {
		r.files["/datasets/kjj0/finewebedu10B-gpt2/resolve/"+commit+"/readme.md"] = "x"
		return fetch("fineweb-edu", r.options(t))
	}(), "finewebedu_val_*.bin")

	t.Setenv("HF_HUB_OFFLINE", "1")
	check("offline", fetch("tinystories", r.options(t)), "HF_HUB_OFFLINE")
	t.Setenv("HF_HUB_OFFLINE", "0")

	r.Close()
	check("no network", fetch("shakespeare", r.options(t)), "check the network", "refused")
	o = r.options(t)
	o.Raw = "http://host.invalid"
	check("no such host", fetch("shakespeare", o), "host.invalid", "check the network")
}

// TestFetchStalls: a connection that stays open and silent is given up.
func TestFetchStalls(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("some"))
		w.(http.Flusher).Flush()
		<-release
	}))
	defer s.Close()
	defer close(release)
	emptyCache(t)
	o := Options{Raw: s.URL, stall: 30 * time.Millisecond,
		pause: func(context.Context, int, time.Duration) error { return errors.New("enough") }}
	if _, err := Dataset(t.Context(), "shakespeare", o); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
}

func TestFetchShards(t *testing.T) {
	r := newRemote(t)
	base := "/datasets/kjj0/finewebedu10B-gpt2/resolve/" + commit + "/finewebedu_"
	r.files[base+"val_000000.bin"] = shard(0, 50)
	for i := 1; i <= 4; i++ {
		r.files[fmt.Sprintf("%strain_%06d.bin", base, i)] = shard(1000*i, 100)
	}
	o := r.options(t)
	o.Shards, o.Token = 2, "secret"
	dir, err := Dataset(t.Context(), "fineweb-edu", o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(r.auth, "Bearer secret") {
		t.Error("the token wasn't sent")
	}
	tokens := func(split data.Split) []int { return tokensOf(t, "fineweb-edu", split) }
	if got := tokens(data.Train); len(got) != 200 || got[100] != 2000 {
		t.Errorf("%d tokens", len(got))
	}
	if got := tokens(data.Val); len(got) != 50 {
		t.Errorf("%d validation tokens", len(got))
	}
	r.requests = nil
	o.Shards = 0
	if _, err := Dataset(t.Context(), "fineweb-edu", o); err != nil {
		t.Fatal(err)
	}
	// the list, and two files by a redirect each
	if got := tokens(data.Train); len(got) != 400 || len(r.requests) != 1+2*2 {
		t.Errorf("%d tokens after %v", len(got), r.requests)
	}
	if err := os.Truncate(filepath.Join(dir, "finewebedu_train_000003.bin"), 30); err != nil {
		t.Fatal(err)
	}
	if _, err := data.Open("fineweb-edu", nil, 0, nil); err == nil ||
		!strings.Contains(err.Error(), "only in part") {
		t.Errorf("a damaged cache opens: %v", err)
	}
	if _, err := Dataset(t.Context(), "fineweb-edu", o); err != nil {
		t.Fatal(err)
	}
	tokens(data.Train)

	r.badHash = true
	if _, err := Dataset(t.Context(), "fineweb-edu", r.options(t)); err == nil || !strings.Contains(err.Error(),
		"SHA-256") {
		t.Errorf("the hub's hash isn't checked: %v", err)
	}
	r.badHash = false
	r.files[base+"val_000000.bin"] = "no shard at all"
	o = r.options(t)
	if _, err := Dataset(t.Context(), "fineweb-edu", o); err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("a file that is not a shard: %v", err)
	}
	if names := dirNames(filepath.Join(cache.Dir(), "fineweb-edu")); len(names) != 0 {
		t.Errorf("kept: %v", names)
	}
}

func TestFetchTinyStories(t *testing.T) {
	r := newRemote(t)
	base := "/datasets/roneneldan/TinyStories/resolve/" + commit + "/TinyStoriesV2-GPT4-"
	const sep = "\n<|endoftext|>\n"
	r.files[base+"valid.txt"] = "Once." + sep + "There was." + sep
	r.files[base+"train.txt"] = "A cat." + sep + "A dog." + sep + "A bird." + sep
	o := r.options(t)
	t.Setenv("HF_ENDPOINT", r.URL+"/")
	o.Hub = ""
	dir, err := Dataset(t.Context(), "tinystories", o)
	if err != nil {
		t.Fatal(err)
	}
	tok := mustTokenizer(t, "gpt2")
	for split, want := range map[data.Split]string{
		data.Val:   "<|endoftext|>Once.<|endoftext|>There was.",
		data.Train: "<|endoftext|>A cat.<|endoftext|>A dog.<|endoftext|>A bird.",
	} {
		if got := tok.Decode(tokensOf(t, "tinystories", split)); got != want {
			t.Errorf("%s: %q, want %q", split, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "download")); err == nil {
		t.Error("the texts are kept beside the shards")
	}
}

func TestFetchHellaSwag(t *testing.T) {
	r := newRemote(t)
	path := "/" + cache.Datasets["hellaswag"].Raw
	line := `{"ctx": "A man", "label": 1, "endings": ["sits", "walks", "runs", "sleeps"]}` + "\n"
	r.files[path] = strings.Repeat(line, 10041)
	o := r.options(t)
	if _, err := Dataset(t.Context(), "hellaswag", o); err == nil || !strings.Contains(err.Error(),
		"10041 questions, want 10042") {
		t.Errorf("%v", err)
	}
	r.files[path] += line
	file, err := Dataset(t.Context(), "hellaswag", o)
	if err != nil {
		t.Fatal(err)
	}
	examples, err := data.ReadHellaSwag("hellaswag", mustTokenizer(t, "gpt2"))
	if err != nil || len(examples) != 10042 || filepath.Base(file) != "hellaswag_val.jsonl" {
		t.Errorf("%d questions, %v", len(examples), err)
	}
	if _, err := data.Open("hellaswag", nil, 0, nil); err == nil {
		t.Error("hellaswag opens as a corpus")
	}
}

// weights is a safetensors file of one number.
const weights = "\x38\x00\x00\x00\x00\x00\x00\x00" +
	`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ` + "1234"

func TestFetchWeights(t *testing.T) {
	r := newRemote(t)
	for n, content := range map[string]string{"config.json": `{"n_layer": 1}`, "model.safetensors": weights,
		"pytorch_model.bin": "x"} {
		r.files["/openai-community/gpt2-medium/resolve/"+commit+"/"+n] = content
	}
	o := r.options(t)
	if _, _, err := cache.Open("gpt2-medium"); err == nil || !strings.HasSuffix(err.Error(),
		"hint: gpt2wgpu data fetch gpt2-medium") {
		t.Errorf("%v", err)
	}
	dir, err := Dataset(t.Context(), "gpt2-medium", o)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := cache.Open("gpt2-medium"); err != nil || again != dir {
		t.Errorf("%q, %v", again, err)
	}
	want := map[string]bool{"config.json": true, "model.safetensors": true, cache.AccountFile: true}
	for _, n := range dirNames(dir) {
		if !want[n] {
			t.Errorf("%s in the cache", n)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "model.safetensors")); string(b) != weights {
		t.Errorf("%q, %v", b, err)
	}
}

// TestFetchLock: a second fetch waits for the first, says for whom, and then finds the file there.
func TestFetchLock(t *testing.T) {
	r := newRemote(t)
	r.pin(t, manyWords(1000))
	o := r.options(t)
	held, err := lock.Take(t.Context(), filepath.Join(cache.Dir(), ".shakespeare.lock"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan string, 1)
	o.Log = slog.New(handler{slog.DiscardHandler, func(message string) {
		if strings.HasPrefix(message, "waiting for ") {
			waits <- message
		}
	}})
	done := make(chan error, 1)
	go func() { _, err := Dataset(t.Context(), "shakespeare", o); done <- err }()
	if said := <-waits; !strings.Contains(said, fmt.Sprintf("process %d on ", os.Getpid())) || !strings.Contains(said,
		"shakespeare") {
		t.Errorf("waits with %q", said)
	}
	if len(r.requests) > 0 {
		t.Error("it fetches while another process does")
	}
	held.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// One that is stopped while it waits says so.
	o = r.options(t)
	if held, err = lock.Take(t.Context(), filepath.Join(cache.Dir(), ".shakespeare.lock"), 0, nil); err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	ctx, cancel := context.WithCancel(t.Context())
	o.Log = slog.New(handler{slog.DiscardHandler, func(string) { cancel() }})
	if _, err := Dataset(ctx, "shakespeare", o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(),
		"hint: ") {
		t.Errorf("stopped: %v", err)
	}
}

// handler calls say with every message.
type handler struct {
	slog.Handler
	say func(string)
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }
func (h handler) Handle(_ context.Context, r slog.Record) error {
	h.say(r.Message)
	return nil
}
