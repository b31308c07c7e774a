package isa

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// Compiler runs a Vulkan driver in a child process, on a device that it makes up, and keeps what the driver prints.
type Compiler struct {
	Driver string                              // libvulkan_radeon.so or libvulkan_intel.so
	Shim   string                              // libshim.so, made of shim/radv.c, or for Intel Mesa's shim
	Child  func(ctx context.Context) *exec.Cmd // a process that calls Child on its standard input
}

// mark begins what the driver prints about the text of this number.
const mark = "### text "

// Compile compiles texts for a family of AMD's GPUs, as RADV_FORCE_FAMILY names it, or of Intel's, as
// INTEL_STUB_GPU_PLATFORM does.
// Errors: a driver that does not know the family; a text that does not compile.
func (c Compiler) Compile(ctx context.Context, family string, texts []Text) ([]Kernel, error) {
	dump, err := c.dump(ctx, family, texts)
	if err != nil {
		return nil, err
	}
	return parse(dump, family, texts)
}

// dump returns what the driver prints about texts.
func (c Compiler) dump(ctx context.Context, family string, texts []Text) (string, error) {
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
