package supervise

import "time"

// Pulse is whether a process goes on with its work on a device.
type Pulse struct {
	Busy  bool          `json:"busy"`  // something on the device has not ended
	Count int64         `json:"count"` // how much has
	Bound time.Duration `json:"bound"` // how long one may take, in nanoseconds
}

// beat is the time between two messages of a child that lives.
const beat = time.Second

// Watch counts how long something has made no progress. Time in which this process was stopped, or the machine slept,
// does not count: it is a gap between two ticks, of which there should be one a second at least.
type Watch struct {
	bound  time.Duration
	last   time.Time // tick
	silent time.Duration
	count  int64
}

// NewWatch returns one that begins now, with a bound for the first pulse.
func NewWatch(bound time.Duration) *Watch { return &Watch{bound: bound, last: time.Now()} }

// Hear takes a pulse.
func (w *Watch) Hear(p Pulse) {
	if !p.Busy || p.Count != w.count {
		w.silent = 0
	}
	w.count = p.Count
	if p.Bound > 0 {
		w.bound = p.Bound
	}
}

// Tick says what time it is.
func (w *Watch) Tick(now time.Time) {
	w.silent += min(now.Sub(w.last), 2*beat)
	w.last = now
}

// Hung reports whether the bound is over, and some time in which the child would have noticed by itself.
func (w *Watch) Hung() bool { return w.silent > w.bound+max(w.bound/10, 2*beat) }
