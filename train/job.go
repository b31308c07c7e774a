package train

// Job is what one call of [Run] does: a run's settings, and how this invocation goes.
type Job struct {
	Config
	Invocation
}

// Invocation is how this process takes part in a run. It does not change what the run is, so no file holds it.
type Invocation struct {
	Resume    bool // continue the run in Out
	StopAfter int  // end after this many steps, as an interrupt would; 0: go on to Steps
	Ranks     int  // processes that share the batch; 0 is 1

	Profile   func(Profile) error    // gets the times of one step's dispatches at the end; nil: none are taken
	Given     func(flag string) bool // whether the command line has that flag ("val-every"); nil: it has none
	FineTuned bool                   // the learning rates are those of FineTune, for the log
}

func (j Job) given(flag string) bool { return j.Given != nil && j.Given(flag) }

func (j Job) ranks() int { return max(j.Ranks, 1) }

// MicroTokens returns the tokens of one micro-step on all ranks together, B*T*ranks.
func (j Job) MicroTokens() int {
	if j.SeqLen == 0 {
		j.SeqLen = j.BlockSize
	}
	return j.BatchSize * j.SeqLen * j.ranks()
}

// TokensPerStep returns the tokens of one optimizer step on all ranks together.
func (j Job) TokensPerStep() int {
	if j.TotalBatchSize == 0 {
		return j.MicroTokens()
	}
	return j.TotalBatchSize
}

// AccumSteps returns the micro-steps of one optimizer step, whose gradients add up. j must be valid.
func (j Job) AccumSteps() int { return j.TokensPerStep() / j.MicroTokens() }

// Resolved returns j with SeqLen and TotalBatchSize written out where they were left to the other settings.
func (j Job) Resolved() Job {
	if j.SeqLen == 0 {
		j.SeqLen = j.BlockSize
	}
	j.TotalBatchSize = j.TokensPerStep()
	return j
}
