package tune

// What tests replace in a child.
var (
	Measured = &measured
	SelfTest = &selfTest
)
