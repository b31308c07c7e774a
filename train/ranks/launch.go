package ranks

import (
	"fmt"
	"strconv"
)

// Launch is what a launcher has set in the environment of this process.
type Launch struct {
	By                string // what set it, for messages
	Rank, Size, Local int    // Local is -1 where the launcher doesn't say
}

// launchers are the environments understood, in the order of looking. A launcher that starts only one process, or none
// of these, leaves a run of one rank.
var launchers = []struct{ by, rank, size, local string }{
	{"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
	{"MPICH's mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
	{"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
	{"a launcher with RANK and WORLD_SIZE", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
}

// ReadLaunch reads the environment. LOCAL_RANK comes before the launcher's own variable. Without a launcher it returns
// rank 0 of 1. Error: a variable that is not a number, or a rank outside the size.
func ReadLaunch(getenv func(string) string) (Launch, error) {
	for _, l := range launchers {
		if getenv(l.size) == "" {
			continue
		}
		out := Launch{By: l.by, Local: -1}
		for _, v := range []struct {
			name string
			into *int
		}{{l.size, &out.Size}, {l.rank, &out.Rank}, {l.local, &out.Local}, {"LOCAL_RANK", &out.Local}} {
			text := getenv(v.name)
			if text == "" && v.into == &out.Local {
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return Launch{}, fmt.Errorf("environment: %s is %q, want a number, 0 or more; hint: start the ranks "+
					"with mpirun -np 2 gpt2wgpu train …", v.name, text)
			}
			*v.into = n
		}
		if out.Size == 1 {
			continue
		}
		if out.Rank >= out.Size {
			return Launch{}, fmt.Errorf("environment: %s is %d, want less than %s, which is %d; hint: start the "+
				"ranks with mpirun -np 2 gpt2wgpu train …", l.rank, out.Rank, l.size, out.Size)
		}
		return out, nil
	}
	return Launch{Size: 1}, nil
}

// Launched reports whether mpirun or mpiexec has started this process, be it the only one, or another launcher several.
func Launched(getenv func(string) string) bool {
	l, err := ReadLaunch(getenv)
	return err != nil || l.Size > 1 || getenv("OMPI_COMM_WORLD_SIZE") != "" || getenv("PMI_SIZE") != ""
}
