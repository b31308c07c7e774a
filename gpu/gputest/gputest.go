package gputest

import (
	"os"
	"sync"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

var opened struct {
	once sync.Once
	dev  *gpu.Device
	err  error
}

// Available skips or fails, as Device does, where there is no GPU, without opening it: for tests of programs that open
// one.
func Available(t testing.TB) {
	t.Helper()
	_, err := gpu.Find(os.Getenv("GPT2WGPU_DEVICE"))
	missing(t, err)
}

func missing(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("GPT2WGPU_GPU") == "require" {
		t.Fatalf("GPT2WGPU_GPU=require: %v", err)
	}
	t.Skipf("no GPU: %v", err)
}

// Device returns the test binary's one device, the one that GPT2WGPU_DEVICE names (default: auto). Without a GPU the
// test is skipped with the reason, or fails if GPT2WGPU_GPU=require.
func Device(t testing.TB) *gpu.Device {
	t.Helper()
	opened.once.Do(func() { opened.dev, opened.err = gpu.Open(os.Getenv("GPT2WGPU_DEVICE")) })
	missing(t, opened.err)
	return opened.dev
}

// Fewer says whether tests leave out cases whose kernels and fragments other cases have: on a software device, which
// compiles most of a second for each, unless GPT2WGPU_CASES=all, as `make conformance` sets it.
func Fewer(t testing.TB) bool {
	t.Helper()
	return Device(t).Info.Software() && os.Getenv("GPT2WGPU_CASES") != "all"
}

// New starts a case on the test's device. Its tensors are released with the test.
func New(t testing.TB) *Case {
	t.Helper()
	return selftest.New(t, Device(t))
}

// For makes New start its cases with another target than the device's own.
func For(target op.Target) func(t testing.TB) *Case {
	return func(t testing.TB) *Case {
		t.Helper()
		c := New(t)
		c.Setup.Target = target
		return c
	}
}

// Storages runs a test once for each storage that data may have.
func Storages(t *testing.T, test func(t *testing.T, s gpu.Storage)) {
	for _, s := range []gpu.Storage{gpu.F32, gpu.BF16} {
		t.Run(s.String(), func(t *testing.T) { test(t, s) })
	}
}

// What gpu/selftest has for the self-test of the program, under the names that tests use.
type (
	Case      = selftest.Case
	Tolerance = selftest.Tolerance
)

var (
	Rand    = selftest.Rand
	Tokens  = selftest.Tokens
	Round   = selftest.Round
	Compare = selftest.Compare
)
