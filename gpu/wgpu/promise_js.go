package wgpu

import (
	"errors"
	"fmt"
	"strings"
	"syscall/js"
)

type object = map[string]any

// settled is what a promise has come to.
type settled struct {
	value js.Value
	err   error
}

// when calls f once promise has settled. f runs within a callback and must not block or log: the event loop would wait
// for it forever.
func when(promise js.Value, f func(settled)) {
	var ok, bad js.Func
	end := func(s settled) any {
		ok.Release()
		bad.Release()
		f(s)
		return nil
	}
	ok = js.FuncOf(func(_ js.Value, args []js.Value) any { return end(settled{value: args[0]}) })
	bad = js.FuncOf(func(_ js.Value, args []js.Value) any { return end(settled{err: reason(args[0])}) })
	promise.Call("then", ok, bad)
}

// start returns a channel that gets what promise settles to.
func start(promise js.Value) <-chan settled {
	done := make(chan settled, 1)
	when(promise, func(s settled) { done <- s })
	return done
}

// await waits for a promise; meanwhile the event loop and other goroutines go on.
func await(promise js.Value) (js.Value, error) {
	s := <-start(promise)
	return s.value, s.err
}

// call calls a method. What it throws is an error.
func call(v js.Value, method string, args ...any) (out js.Value, err error) {
	defer thrown(&err)
	return v.Call(method, args...), nil
}

// thrown, deferred, turns a JavaScript exception into an error.
func thrown(err *error) {
	r := recover()
	if e, ok := r.(js.Error); ok {
		*err = reason(e.Value)
	} else if r != nil {
		panic(r)
	}
}

// reason returns an exception, a rejection or a GPUError as an error of one line.
func reason(e js.Value) error {
	if e.Type() == js.TypeObject {
		if m := e.Get("message"); m.Type() == js.TypeString && m.String() != "" {
			return errors.New(strings.Join(strings.Fields(m.String()), " "))
		}
		if n := e.Get("constructor").Get("name"); n.Type() == js.TypeString { // an empty message
			return errors.New(n.String())
		}
	}
	return fmt.Errorf("%v", e)
}

// text returns a string field, empty if there is none.
func text(v js.Value, field string) string {
	if f := v.Get(field); f.Type() == js.TypeString {
		return f.String()
	}
	return ""
}
