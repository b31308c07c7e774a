// Package ranks is what the processes of a data parallel run do together. They learn from a launcher who they are,
// sum gradients while their devices compute, compare their parameters, and take outer steps. docs/scaling.md
// describes it.
//
//   - Group is the processes; Alone is one, package mpi has several. ReadLaunch reads a launcher's environment.
//   - Together makes a failure of one rank known to all. Agreed distinguishes such errors from those that leave others
//     waiting.
//   - Exchange sums gradients; Outer is the outer optimizer of --sync-every (DiLoCo).
//   - CheckEqual and FollowRank0 keep the ranks' parameters the same.
//
// Ranks with devices of one kind hold the same parameters bit for bit. Errors are one line; one that is not Agreed
// means that the group is lost.
package ranks
