package main

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"os"
	"path"
	"strings"
	"testing"
)

// TestUnzip: of an archive come the files of one model, into its directory; one that is damaged or lies is refused.
func TestUnzip(t *testing.T) {
	weights := []byte(strings.Repeat("weights ", 1000))
	entry := func(name string) zip.FileHeader {
		return zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE(weights), CompressedSize64: uint64(len(weights)),
			UncompressedSize64: uint64(len(weights))}
	}
	with := func(change func(*zip.FileHeader)) []zip.FileHeader {
		f := entry("m/model.safetensors")
		change(&f)
		return []zip.FileHeader{f}
	}
	for _, c := range []struct {
		name    string
		entries []zip.FileHeader
		want    string // in the error; empty: none
	}{
		{"a model", []zip.FileHeader{entry("m/model.safetensors"), entry("m/config.json"), entry("m/../../x.json"),
			entry("/x.json"), entry("m/.x.json"), entry("m/x.js"), entry("m/state.json")}, ""},
		{"a bit is another", with(func(f *zip.FileHeader) { f.CRC32 ^= 1 }), "checksum"},
		{"more than is declared", with(func(f *zip.FileHeader) { f.UncompressedSize64-- }), "not a valid zip"},
		{"less than is declared", with(func(f *zip.FileHeader) { f.UncompressedSize64++ }), "unexpected EOF"},
		{"far more than there is", with(func(f *zip.FileHeader) { f.UncompressedSize64 = 1 << 40 }), "want at most"},
		{"twice the same", []zip.FileHeader{entry("m/model.safetensors"), entry("m/model.safetensors")}, "two files"},
		{"two models", []zip.FileHeader{entry("m/model.safetensors"), entry("n/model.safetensors")}, "want one"},
		{"none", []zip.FileHeader{entry("m/config.json")}, "no .safetensors"},
	} {
		var archive bytes.Buffer
		z := zip.NewWriter(&archive)
		for _, f := range c.entries {
			w, err := z.CreateRaw(&f)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(weights)
		}
		z.Close()
		from, to := path.Join(t.TempDir(), "up.zip"), path.Join(t.TempDir(), "model")
		if err := os.WriteFile(from, archive.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Mkdir(to, 0o755)
		err := unzip(from, to)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		entries, _ := os.ReadDir(to)
		if err != nil || len(entries) != 2 || !bytes.Equal(readFile(t, path.Join(to, "model.safetensors")), weights) {
			t.Errorf("%s: %v, %v", c.name, entries, err)
		}
	}
}
