package isa

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// Compiler runs a Vulkan driver in child processes, on a device that it makes up, and keeps what the driver prints.
type Compiler struct {
	Driver string                              // libvulkan_radeon.so or libvulkan_intel.so
	Shim   string                              // libshim.so, made of shim/radv.c, or for Intel Mesa's shim
	Child  func(ctx context.Context) *exec.Cmd // a process that calls Child on its standard input
	Cache  string                              // a folder for what drivers printed; "": none
}

// mark begins what the driver prints about the text of this number.
const mark = "### text "

// Compile compiles texts for a family of AMD's GPUs, as RADV_FORCE_FAMILY names it, or of Intel's, as
// INTEL_STUB_GPU_PLATFORM does: on all cores, and only those that the cache lacks.
// Errors: a driver that does not know the family; a text that does not compile.
func (c Compiler) Compile(ctx context.Context, family string, texts []Text) ([]Kernel, error) {
	driver, err := os.ReadFile(c.Driver)
	if err != nil {
		return nil, err
	}
	version := sha256.Sum256(driver)
	dumps, files, missing := make([]string, len(texts)), make([]string, len(texts)), []int(nil)
	for i, t := range texts {
		raw, err := json.Marshal(t.Text)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(slices.Concat(version[:], []byte(family), raw))
		files[i] = filepath.Join(c.Cache, fmt.Sprintf("%x.gz", sum[:16]))
		if dumps[i] = c.kept(files[i]); dumps[i] == "" {
			missing = append(missing, i)
		}
	}
	parts := slices.Collect(slices.Chunk(missing, 8)) // each is kept when it is done
	err = parallel.Do(len(parts), func(i int) error {
		return c.compile(ctx, family, texts, parts[i], dumps, files)
	})
	if err != nil {
		return nil, err
	}
	return parse(dumps, family, texts)
}

// compile compiles a part of the texts in one process and keeps what the driver prints about each.
func (c Compiler) compile(
	ctx context.Context, family string, texts []Text, part []int, dumps, files []string,
) error {
	var sources []wgsl.Text
	for _, i := range part {
		sources = append(sources, texts[i].Text)
	}
	dump, err := c.dump(ctx, family, sources)
	if err != nil {
		return err
	}
	made, err := divide(dump, len(part))
	if err != nil {
		return fmt.Errorf("%s: %w", family, err)
	}
	for k, i := range part {
		dumps[i] = made[k]
		if err := c.keep(files[i], made[k]); err != nil {
			return err
		}
	}
	return nil
}

// kept returns what a file of the cache holds, nothing if there is none.
func (c Compiler) kept(file string) string {
	if c.Cache == "" {
		return ""
	}
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return ""
	}
	dump, err := io.ReadAll(z)
	if err != nil {
		return ""
	}
	return string(dump)
}

// keep writes a file of the cache.
func (c Compiler) keep(file, dump string) error {
	if c.Cache == "" {
		return nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, dump); err != nil {
		return err
	}
	if err := errors.Join(z.Close(), os.MkdirAll(c.Cache, 0o777)); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o666) // what is cut short has a wrong checksum
}

// dump returns what the driver prints about texts.
func (c Compiler) dump(ctx context.Context, family string, texts []wgsl.Text) (string, error) {
	dir, err := os.MkdirTemp("", "isa")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	icd := filepath.Join(dir, "icd.json")
	first, env := c.Shim, []string{"SHIM_ICD=" + c.Driver, "RADV_FORCE_FAMILY=" + family,
		"RADV_DEBUG=shaders,shaderstats"}
	if IsIntel(family) {
		first, env = c.Driver, []string{"LD_PRELOAD=" + c.Shim, "INTEL_STUB_GPU_PLATFORM=" + family, "INTEL_DEBUG=cs"}
	}
	raw, err := json.Marshal(map[string]any{"file_format_version": "1.0.0",
		"ICD": map[string]string{"library_path": first, "api_version": "1.3.230"}})
	if err == nil {
		err = os.WriteFile(icd, raw, 0o666)
	}
	if err != nil {
		return "", err
	}
	if raw, err = json.Marshal(texts); err != nil {
		return "", err
	}
	var said, dump bytes.Buffer
	cmd := c.Child(ctx)
	cmd.Env = slices.Concat(os.Environ(), env,
		[]string{"VK_ICD_FILENAMES=" + icd, "VK_DRIVER_FILES=" + icd, "MESA_SHADER_CACHE_DISABLE=true"})
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(raw), &said, &dump
	if err := cmd.Run(); err != nil {
		words := cmp.Or(strings.TrimSpace(said.String()), lastLine(dump.String()))
		return "", fmt.Errorf("%s on %s: %w: %s", c.Driver, family, err, words)
	}
	return dump.String(), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// Child is the process: it compiles the texts that it reads, on the first device, and marks each on standard error,
// where the driver prints. Errors go to standard output.
func Child(in io.Reader) error {
	var texts []wgsl.Text
	if err := json.NewDecoder(in).Decode(&texts); err != nil {
		return err
	}
	adapters := wgpu.Adapters()
	if len(adapters) == 0 {
		return fmt.Errorf("the driver offers no device; hint: does this version of Mesa know the family?")
	}
	info := adapters[0].Info()
	d, err := adapters[0].Open(info.Backend, info.Limits)
	if err != nil {
		return fmt.Errorf("%s: %w", info.Name, err)
	}
	for i, t := range texts {
		fmt.Fprintf(os.Stderr, "\n%s%d\n", mark, i)
		p, err := d.NewPipeline(t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Label, err)
		}
		p.Release()
	}
	return nil
}
