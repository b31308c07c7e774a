// Package tune chooses the tiles of matmul, attention and the classifier by measuring them on the device in use. It
// measures in a process of its own, because a bad candidate can take its process down. What it has chosen it keeps
// in a file, so that it measures once.
//
//   - A Tuner asks for the uses of tuned ops in the programs to be run (op.Setup.OnUse on a plan), measures the
//     candidates of each class of uses within a bound on time, and keeps what it chose in a file by adapter, driver,
//     limits, program version, kernel text and target, candidates included. A class that the file has is not measured
//     again.
//   - Child is the process that measures. A candidate can take its process down, since the binding aborts where a
//     submission fails; so candidates run in a process of their own, which says what it tries before it does. What was
//     tried when it died, or stopped answering, is left out when the next child takes over.
//
// A candidate's result is compared with that of the target's own tile and dropped where they differ by more than
// rounding. It is chosen where it is at least a twentieth faster, measured again side by side, so that noise changes
// nothing, and where it passes the self-test's cases for it.
//
// Two more measurements may drop what was chosen. A whole micro-step must be faster with the chosen tiles than with
// the target's own. And where the binding does not say which driver is in use, a tile of the cache must still be
// faster than the target's own, in some milliseconds at the start.
//
// Errors are one line with a hint; a caller can always go on with the target's own tiles.
package tune
