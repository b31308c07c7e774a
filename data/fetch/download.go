package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
)

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
			return fmt.Errorf("%s: %w; hint: check the network (and HTTPS_PROXY, if there is a proxy), then run the "+
				"same command again: it goes on where it stopped", u, plain(err))
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
	told := "" // the SHA-256 that the hub reports
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
		return "", fmt.Errorf("%s: SHA-256 %s, want %s; hint: the file was removed; try again, and if that doesn't "+
			"help it has changed at its source: report this as a bug", u, got, want)
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
		told = "" // of a small file the hub reports git's hash
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

// versionOf returns what distinguishes one version of a file from another: of the hub's large files their SHA-256,
// which the
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

// contentRange reads "bytes BEGIN-END/WHOLE" or "bytes */WHOLE"; -1 for what is missing.
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
	p := Progress{File: f.file, Index: f.index, Files: f.files, Bytes: at, Total: max(0, total)}
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
