package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall/js"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// version is set by the build.
var version = "devel"

// memoryLimit is where Go's collector runs more often, in bytes: wasm has at most 4 GiB, and its memory never shrinks.
const memoryLimit = 3 << 30

func main() {
	debug.SetMemoryLimit(memoryLimit)
	page, err := host()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpt2wgpu:", err)
		os.Exit(1)
	}
	s := newSession(func(event any) {
		page.Call("event", toJS(event))
	})
	page.Set("call", js.FuncOf(func(_ js.Value, args []js.Value) any {
		name, in, more := "", "{}", js.Undefined()
		if len(args) > 0 {
			name = args[0].String()
		}
		if len(args) > 1 && args[1].Truthy() {
			in = js.Global().Get("JSON").Call("stringify", args[1]).String()
		}
		if len(args) > 2 {
			more = args[2]
		}
		return promise(func() (any, error) { return s.call(name, []byte(in), more) })
	}))
	s.event(struct {
		Event   string `json:"event"`
		Version string `json:"version"`
		Go      string `json:"go"`
	}{"ready", version, runtime.Version()})
	select {}
}

// host returns the object through which page and program call each other. Error: nothing has made it.
func host() (js.Value, error) {
	v := js.Global().Get("gpt2wgpu")
	if v.Type() != js.TypeObject || v.Get("event").Type() != js.TypeFunction {
		return v, errors.New("globalThis.gpt2wgpu is missing, want an object with the function event; hint: " +
			"web/worker.js sets it")
	}
	return v, nil
}

// toJS converts a value to JavaScript through JSON.
func toJS(v any) js.Value {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers that JSON lacks are metrics.Float
	}
	return js.Global().Get("JSON").Call("parse", string(raw))
}

// promise returns a Promise that settles to what f returns. f runs in a goroutine, and may wait.
func promise(f func() (any, error)) js.Value {
	var run js.Func
	run = js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		run.Release()
		go func() {
			if out, err := f(); err != nil {
				reject.Invoke(failure(err))
			} else {
				resolve.Invoke(toJS(out))
			}
		}()
		return nil
	})
	return js.Global().Get("Promise").New(run)
}

// The errors of calls that come at the wrong time: something else has the device; nothing trains.
var (
	errBusy = errors.New("the device is in use")
	errIdle = errors.New("no training runs; hint: call train or resume")
)

// failure converts an error to a JavaScript Error, whose name is its kind.
func failure(err error) js.Value {
	e := js.Global().Get("Error").New(err.Error())
	var device *gpu.DeviceError
	var usage *train.UsageError
	switch {
	case errors.Is(err, errBusy):
		e.Set("name", "Busy")
	case errors.As(err, &device):
		e.Set("name", "DeviceError")
	case errors.As(err, &usage):
		e.Set("name", "UsageError")
	case errors.Is(err, context.Canceled):
		e.Set("name", "Cancelled")
	}
	return e
}

// wait waits for v, if it is a promise, and returns the error that rejects it.
func wait(v js.Value) error {
	if v.Type() != js.TypeObject || v.Get("then").Type() != js.TypeFunction {
		return nil
	}
	done := make(chan error, 1)
	ok := js.FuncOf(func(js.Value, []js.Value) any { done <- nil; return nil })
	bad := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- errors.New(js.Global().Get("String").Invoke(args[0]).String())
		return nil
	})
	defer ok.Release()
	defer bad.Release()
	v.Call("then", ok, bad)
	return <-done
}

// calls are the calls of the page by name. Each takes JSON, and zip also a function.
var calls = map[string]func(s *session, in []byte, f js.Value) (any, error){
	"info":     plain((*session).info),
	"device":   plain((*session).device),
	"plan":     plain((*session).plan),
	"train":    plain((*session).train),
	"resume":   plain((*session).resume),
	"ask":      plain((*session).ask),
	"pause":    plain((*session).hold),
	"sample":   plain((*session).sample),
	"cancel":   plain((*session).stop),
	"runs":     plain((*session).runs),
	"remove":   plain((*session).remove),
	"import":   plain((*session).importModel),
	"selftest": plain((*session).selftest),
	"zip":      (*session).zip,
}

// plain makes a call of a method that takes only JSON.
func plain[In any](method func(*session, In) (any, error)) func(*session, []byte, js.Value) (any, error) {
	return func(s *session, in []byte, _ js.Value) (any, error) {
		v, err := arguments[In](in)
		if err != nil {
			return nil, err
		}
		return method(s, v)
	}
}

// arguments decodes the JSON of a call. Error: [train.UsageError], also for unknown fields.
func arguments[In any](in []byte) (v In, err error) {
	decoder := json.NewDecoder(strings.NewReader(string(in)))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(&v); err != nil {
		err = usagef("arguments: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return v, err
}

// usagef returns a mistake in the arguments of a call.
func usagef(format string, args ...any) error {
	return &train.UsageError{Err: fmt.Errorf(format, args...)}
}

// nothing is what a call without arguments takes, and one without a result returns.
type nothing struct{}

// call makes the call with a name.
func (s *session) call(name string, in []byte, f js.Value) (any, error) {
	call, ok := calls[name]
	if !ok {
		var names []string
		for n := range calls {
			names = append(names, n)
		}
		slices.Sort(names)
		return nil, usagef("unknown call %q; hint: %s", name, strings.Join(names, ", "))
	}
	return call(s, in, f)
}
