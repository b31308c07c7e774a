package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// plainServer answers every path with a status and a body, without a hash, a length or a tag of its own.
func plainServer(t *testing.T, status int, body string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
		w.(http.Flusher).Flush() // so that no length is sent
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestFetchOtherContent: a body that is not the file never becomes complete, whatever its status, and leaves nothing.
func TestFetchOtherContent(t *testing.T) {
	question := `{"ctx": "A man", "label": 1, "endings": ["sits", "walks", "runs", "sleeps"]}` + "\n"
	whole := strings.Repeat(question, 10042)
	for what, x := range map[string]struct{ body, want string }{
		"HTML":                    {"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"},
		"XML":                     {"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"},
		"bare XML":                {"<Error><Code>AccessDenied</Code></Error>", "web page"},
		"nothing":                 {"", "empty"},
		"a pointer":               {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS"},
		"cut":                     {whole[:len(whole)/2+9], "line at byte"},
		"cut at an end of a line": {whole[:len(question)*5000], "5000 questions, want 10042"},
		"too large":               {strings.Repeat("x", 65_000_000), "want at most 64000000"},
	} {
		emptyCache(t)
		o := Options{Raw: plainServer(t, 200, x.body), pause: noPause}
		_, err := Dataset(t.Context(), "hellaswag", o)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Count(err.Error(), "hint: ") != 1 {
			t.Errorf("%s: %v, want %q", what, err, x.want)
		}
		dir := filepath.Join(cache.Dir(), "hellaswag")
		left := dirNames(dir)
		if len(left) != 0 {
			t.Errorf("%s leaves %v", what, left)
		}
		o.Raw = plainServer(t, 200, whole)
		if _, err := Dataset(t.Context(), "hellaswag", o); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
	}
	emptyCache(t)
	_, err := Dataset(t.Context(), "hellaswag", Options{Raw: plainServer(t, 404, "gone"), pause: noPause})
	if left := dirNames(filepath.Join(cache.Dir(), "hellaswag")); err == nil || len(left) != 0 {
		t.Errorf("a download that never began: %v, left %v", err, left)
	}
}

func noPause(ctx context.Context, _ int, _ time.Duration) error { return ctx.Err() }

// TestFetchOtherWeights: config.json and weights, for which the hub may report no hash, must be what their names say.
func TestFetchOtherWeights(t *testing.T) {
	for what, x := range map[string]struct{ name, content, want string }{
		"a page":            {"config.json", "<html>", "web page"},
		"no JSON":           {"config.json", "{", "byte 1"},
		"a large config":    {"config.json", strings.Repeat(" ", 2<<20), "want at most"},
		"cut weights":       {"model.safetensors", weights[:len(weights)-1], "67 bytes, want 68"},
		"longer weights":    {"model.safetensors", weights + "5", "69 bytes, want 68"},
		"a pickle":          {"model.safetensors", "\x80\x02}q\x00" + strings.Repeat("x", 99), "a header of"},
		"a header of lies":  {"model.safetensors", "\x02\x00\x00\x00\x00\x00\x00\x00[]", "header"},
		"a tensor of lies":  {"model.safetensors", "\x09\x00\x00\x00\x00\x00\x00\x00" + `{"a":{ }}`, "data_offsets"},
		"a page of weights": {"model.safetensors", "<!DOCTYPE html>", "web page"},
	} {
		r := newRemote(t)
		base := "/openai-community/gpt2/resolve/" + commit + "/"
		r.files[base+"config.json"], r.files[base+"model.safetensors"] = `{"n_layer": 1}`, weights
		r.files[base+x.name] = x.content
		o := r.options(t)
		_, err := Dataset(t.Context(), "gpt2", o)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Count(err.Error(), "hint: ") != 1 {
			t.Errorf("%s: %v, want %q", what, err, x.want)
		}
		if _, _, err := cache.Open("gpt2"); err == nil {
			t.Errorf("%s is complete", what)
		}
		if _, err := os.Stat(filepath.Join(cache.Dir(), "gpt2", x.name)); err == nil {
			t.Errorf("%s is kept", what)
		}
	}
}

// TestFetchRepairs: data fetch brings a file again that has changed on the disk, and only that.
func TestFetchRepairs(t *testing.T) {
	r := newRemote(t)
	base := "/openai-community/gpt2/resolve/" + commit + "/"
	r.files[base+"config.json"], r.files[base+"model.safetensors"] = `{"n_layer": 1}`, weights
	o := r.options(t)
	dir, err := Dataset(t.Context(), "gpt2", o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	o.Verify = true
	for what, content := range map[string]string{"nothing": weights, "a bit": weights[:len(weights)-1] + "5",
		"a page of the same size": "<html>" + strings.Repeat(" ", len(weights)-6), "cut": weights[:9]} {
		write(t, path, []byte(content))
		r.requests = nil
		if _, err := Dataset(t.Context(), "gpt2", o); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if b, _ := os.ReadFile(path); string(b) != weights {
			t.Errorf("%s: it is %q now", what, b)
		}
		asked := strings.Join(r.requests, " ")
		if strings.Contains(asked, "config.json") || what == "nothing" && asked != "" {
			t.Errorf("%s: asked for %s", what, asked)
		}
		a, ok := cache.ReadAccount(dir)
		if !ok || len(a.Files) != 2 || len(a.Files[0].SHA256) != 64 || len(a.Files[1].SHA256) != 64 {
			t.Errorf("%s: %+v, %v", what, a, ok)
		}
	}
	// a shard made of texts
	stories := "/datasets/roneneldan/TinyStories/resolve/" + commit + "/TinyStoriesV2-GPT4-"
	r.files[stories+"valid.txt"], r.files[stories+"train.txt"] = "Once.", "A cat. A dog. A bird."
	if dir, err = Dataset(t.Context(), "tinystories", o); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "tinystories_train_000001.bin")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, good...)
	bad[len(bad)-1] ^= 1
	write(t, path, bad)
	if _, err := Dataset(t.Context(), "tinystories", o); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != string(good) {
		t.Error("a damaged shard was not made again")
	}
}

// TestFetchLinks: a link in the place of a download's part is not followed.
func TestFetchLinks(t *testing.T) {
	needs.Symlinks(t)
	r := newRemote(t)
	r.pin(t, manyWords(1000))
	o := r.options(t)
	dir, victim := filepath.Join(cache.Dir(), "shakespeare"), filepath.Join(t.TempDir(), "victim")
	write(t, victim, []byte("mine"))
	if err := errors.Join(os.MkdirAll(dir, 0o777), os.Symlink(victim, filepath.Join(dir, "tinyshakespeare.txt.part")),
		os.Symlink(victim, filepath.Join(dir, "tinyshakespeare.txt.part.tag"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Dataset(t.Context(), "shakespeare", o); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "mine" {
		t.Errorf("a file outside is %.20q now", b)
	}
}

// TestFetchTrickle: a server that breaks off after a few bytes each time is given up, and so is one that never stops.
func TestFetchTrickle(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		asked := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			asked++
			at := 0
			fmt.Sscanf(q.Header.Get("Range"), "bytes=%d-", &at)
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("Content-Length", fmt.Sprint(60_000_000-at))
			if at > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-59999999/60000000", at))
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Write([]byte(strings.Repeat("x", size)))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		emptyCache(t)
		_, err := Dataset(t.Context(), "hellaswag", Options{Raw: s.URL, pause: noPause})
		s.Close()
		if most := map[int]int{100: 5, 100_000: 200}[size]; err == nil || asked != most {
			t.Errorf("%d bytes each: asked %d times, want %d: %v", size, asked, most, err)
		}
	}
}
