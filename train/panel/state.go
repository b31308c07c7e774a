package panel

import (
	"math"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Plan is what is known of a run before its first step.
type Plan struct {
	Name          string // of the run, or what stands for it
	Device        string
	Params        int
	Memory        uint64 // bytes on the device
	Steps, First  int
	TokensPerStep int
	EpochTokens   int64
	FLOPsPerToken float64
	Peak          float64 // operations a second that the device can do; 0: not known
}

// State is what the panel shows. It is not safe for concurrent use.
type State struct {
	Plan
	last   metrics.Line // the newest step
	steps  int          // of this invocation
	losses []float64    // of all steps
	smooth []float64    // the losses' running means
	times  []float64    // ms of the newest steps, but for the first one, which compiles
	at     time.Time    // of the newest step
	beside struct {     // validations, samples and checkpoints between steps, but for what a pause had a part in
		ms    float64
		steps int
	}
	val    metrics.Line
	best   metrics.Line
	sample metrics.Line
	has    struct{ val, sample bool }

	now func() time.Time // nil: time.Now

	Status string // what goes on beside steps: compiling
	Idle   bool   // the run was paused or suspended since the newest step
	Paused bool
	Asked  string // what a key has asked for and is not done yet
	Ending bool
	Help   bool
	Done   bool // only the bar is left
}

// memory is how many steps the running mean looks back, and the times that the speed is of.
const memory = 50

// Record takes a record of metrics.jsonl.
func (s *State) Record(m metrics.Line) {
	switch m.Kind {
	case metrics.KindTrain:
		s.step(m)
	case metrics.KindVal:
		if s.val, s.has.val = m, true; s.best.Kind == "" || m.Loss <= s.best.Loss {
			s.best = m
		}
		s.Asked = ""
	case metrics.KindSample:
		s.sample, s.has.sample, s.Asked = m, true, ""
	}
}

func (s *State) step(m metrics.Line) {
	loss, mean := float64(m.Loss), float64(m.Loss)
	if n := len(s.smooth); n > 0 && !math.IsNaN(s.smooth[n-1]) {
		part := 1 / math.Min(float64(n+1), memory)
		mean = s.smooth[n-1]
		if !math.IsNaN(loss) && !math.IsInf(loss, 0) {
			mean += part * (loss - mean)
		}
	}
	s.losses, s.smooth = append(s.losses, loss), append(s.smooth, mean)
	if s.last = m; m.Step >= s.First {
		s.took(float64(m.MS))
	}
	s.Status = ""
}

// took takes the time of a step of this invocation, and with it what came between it and the step before.
func (s *State) took(ms float64) {
	now := time.Now()
	if s.now != nil {
		now = s.now()
	}
	if s.steps++; s.steps > 1 && !s.Idle {
		s.times = append(s.times, ms)
		s.times = s.times[max(0, len(s.times)-memory):]
		s.beside.ms += max(0, now.Sub(s.at).Seconds()*1e3-ms)
		s.beside.steps++
	}
	s.at, s.Idle = now, s.Paused
}

// done returns how many steps are done.
func (s *State) done() int {
	if s.last.Kind == "" {
		return s.First
	}
	return s.last.Step + 1
}

// meanMS returns the newest steps' mean time in milliseconds; 0: not known.
func (s *State) meanMS() float64 {
	sum := 0.0
	for _, t := range s.times {
		sum += t
	}
	if len(s.times) == 0 {
		return 0
	}
	return sum / float64(len(s.times))
}

// left returns the time that the steps that are left will take, with what comes between them as often as so far; false:
// not known yet.
func (s *State) left() (time.Duration, bool) {
	ms := s.meanMS()
	if s.beside.steps > 0 {
		ms += s.beside.ms / float64(s.beside.steps)
	}
	return time.Duration(ms * float64(s.Steps-s.done()) * float64(time.Millisecond)), ms > 0
}

// trend returns how much the running mean has changed over the last hundred steps, or the last tenth where that is
// more.
func (s *State) trend() (change float64, over int, ok bool) {
	n := len(s.smooth)
	over = max(100, n/10)
	if n <= over {
		over = n / 2
	}
	if over < 5 {
		return 0, 0, false
	}
	return s.smooth[n-1] - s.smooth[n-1-over], over, true
}
