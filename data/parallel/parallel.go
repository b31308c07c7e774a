package parallel

import (
	"cmp"
	"runtime"
	"sync"
	"sync/atomic"
)

// Do calls f(0) to f(n-1) on all cores and returns the error of the lowest i that failed.
func Do(n int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = f(i)
			}
		}()
	}
	wg.Wait()
	return cmp.Or(errs...)
}
