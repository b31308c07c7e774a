package supervise

import "time"

// Pulse reports whether a process makes progress on a device.
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

// NewWatch returns a Watch that starts now. bound holds until a pulse brings another.
func NewWatch(bound time.Duration) *Watch { return &Watch{bound: bound, last: time.Now()} }

// Hear takes a pulse: one that shows progress starts the count again.
func (w *Watch) Hear(p Pulse) {
	if !p.Busy || p.Count != w.count {
		w.silent = 0
	}
	w.count = p.Count
	if p.Bound > 0 {
		w.bound = p.Bound
	}
}

// Tick advances the clock to now, by 2 s at most.
func (w *Watch) Tick(now time.Time) {
	w.silent += min(now.Sub(w.last), 2*beat)
	w.last = now
}

// Hung reports whether the bound is exceeded by a tenth, and by 2 s at least, in which the child would have noticed.
func (w *Watch) Hung() bool { return w.silent > w.bound+max(w.bound/10, 2*beat) }
