package mpi

import (
	"os"

	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// Join enters the group that this process was started in: one process, unless a launcher says otherwise. The caller
// leaves it with Close, or Abort where the others don't know.
func Join() (ranks.Group, error) {
	launch, err := ranks.ReadLaunch(os.Getenv)
	if err != nil {
		return nil, err
	}
	if launch.Size == 1 {
		return ranks.Alone(), nil
	}
	return open(launch)
}
