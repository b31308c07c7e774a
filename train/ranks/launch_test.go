package ranks

import (
	"strings"
	"testing"
)

func TestReadLaunch(t *testing.T) {
	for _, x := range []struct {
		env  string
		want Launch
		err  string
	}{
		{"", Launch{Size: 1}, ""},
		{"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1", Launch{"Open MPI's mpirun", 1, 2,
			1}, ""},
		{"PMI_RANK=3 PMI_SIZE=4", Launch{"MPICH's mpiexec", 3, 4, -1}, ""},
		{"PMI_RANK=0 PMI_SIZE=1", Launch{Size: 1}, ""},
		{"RANK=5 WORLD_SIZE=8 LOCAL_RANK=1", Launch{"a launcher with RANK and WORLD_SIZE", 5, 8, 1}, ""},
		{"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1 LOCAL_RANK=0",
			Launch{"Open MPI's mpirun", 1, 2, 0}, ""},
		{"RANK=0 WORLD_SIZE=two", Launch{}, `WORLD_SIZE is "two"`},
		{"RANK=2 WORLD_SIZE=2", Launch{}, "RANK is 2"},
		{"WORLD_SIZE=2", Launch{}, `RANK is ""`},
	} {
		got, err := ReadLaunch(func(name string) string {
			for _, pair := range strings.Fields(x.env) {
				if n, v, _ := strings.Cut(pair, "="); n == name {
					return v
				}
			}
			return ""
		})
		if got != x.want || (err == nil) != (x.err == "") || err != nil && !(strings.Contains(err.Error(), x.err) &&
			strings.Contains(err.Error(), "hint:")) {
			t.Errorf("%q: got %+v, %v", x.env, got, err)
		}
	}
}
