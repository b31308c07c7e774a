package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/isa"
)

// metal translates all texts of dir, as writeTexts has written it, with the program translate, and counts guarded reads
// in the products and attention that a GPU's target has by default. It prints what breaks a rule, and the totals.
func metal(ctx context.Context, dir, translate, include string, only *regexp.Regexp, out io.Writer) error {
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return fmt.Errorf("%w; hint: make texts", err)
	}
	var index []indexed
	if err := json.Unmarshal(raw, &index); err != nil {
		return err
	}
	texts, err := os.MkdirTemp("", "metal")
	if err != nil {
		return err
	}
	defer os.RemoveAll(texts)
	var todo []indexed
	seen := map[string]bool{}
	for _, e := range index {
		if only.MatchString(e.Label) && (checked(e) || !seen[e.File]) {
			todo = append(todo, e)
			seen[e.File] = true
		}
	}
	passed, failed, kernels, reads := 0, 0, 0, 0
	var mu sync.Mutex
	result := func(e indexed, g isa.Guards, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			failed++
			fmt.Fprintln(out, "FAIL", err)
		case g.Guarded > 0:
			failed++
			fmt.Fprintf(out, "FAIL %s: %d of %d reads of workgroup memory are guarded, %d multiply-adds; for %s\n",
				e.Label, g.Guarded, g.Reads, g.FMAs, strings.Join(e.Targets, ", "))
		default:
			passed++
		}
		if checked(e) {
			kernels++
			reads += g.Reads
		}
	}
	m := isa.Metal{Clang: "clang++-16", Include: include}
	parallel.Do(len(todo), func(i int) error {
		e, g := todo[i], isa.Guards{}
		said, err := exec.CommandContext(ctx, translate, texts, filepath.Join(dir, e.File)).CombinedOutput()
		if err != nil {
			err = errors.New(strings.TrimSpace(string(said)))
		} else if checked(e) {
			file := strings.TrimSuffix(e.File, ".wgsl") + ".metal"
			var text []byte
			if text, err = os.ReadFile(filepath.Join(texts, file)); err == nil {
				g, err = m.Guards(ctx, e.Label, string(text))
			}
		}
		result(e, g, err)
		return nil
	})
	fmt.Fprintf(out, "%d products and attention kernels that a GPU has by default, %d reads of workgroup memory\n",
		kernels, reads)
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d texts break a rule", failed)
	}
	return nil
}

// checked says whether an entry is a product or attention that a GPU has by default.
func checked(e indexed) bool {
	gpu := func(t string) bool { return t != "cpu" && t != "lavapipe" }
	return e.Default && slices.ContainsFunc(e.Targets, gpu) &&
		(strings.HasPrefix(e.Kernel, "matmul_") || strings.HasPrefix(e.Kernel, "attention_"))
}
