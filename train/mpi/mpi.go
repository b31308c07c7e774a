//go:build mpi

package mpi

/*
#cgo CFLAGS: -O3
#include <mpi.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// MPI's constants are macros that cgo can't see through, so every call has a function here. All return MPI's error
// code, or SILENT.

enum { ASK = 1, HERE = 2, SILENT = -1 };

#define SECOND 1000000000L

static MPI_Comm side; // what is said beside the work
static int me, ranks, open_;
static int64_t patience;       // ns without an answer of a rank
static int64_t *heard;         // of each rank: when it has answered, in the present wait
static int *gone;              // of each rank: whether it has not for too long
static volatile int is_stuck;  // this rank's device does not answer

static int start(int *rank, int *size, int *local, int64_t ns) {
	int level, e;
	if ((e = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level))) return e;
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	if ((e = MPI_Comm_rank(MPI_COMM_WORLD, rank))) return e;
	if ((e = MPI_Comm_size(MPI_COMM_WORLD, size))) return e;
	MPI_Comm here;
	if ((e = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, *rank, MPI_INFO_NULL, &here))) return e;
	if ((e = MPI_Comm_rank(here, local))) return e;
	if ((e = MPI_Comm_free(&here))) return e;
	if ((e = MPI_Comm_dup(MPI_COMM_WORLD, &side))) return e;
	me = *rank; ranks = *size; patience = ns; open_ = 1;
	heard = calloc(ranks, sizeof *heard);
	gone = calloc(ranks, sizeof *gone);
	return 0;
}

static int64_t clock_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

// serve answers ranks that ask whether this one lives. MPI's thread calls it while it waits and while it rests.
static int serve(void) {
	static int answers[256];
	static unsigned at;
	for (int e, there; open_;) {
		MPI_Status s;
		if ((e = MPI_Iprobe(MPI_ANY_SOURCE, ASK, side, &there, &s)) || !there) return e;
		if ((e = MPI_Recv(NULL, 0, MPI_INT, s.MPI_SOURCE, ASK, side, MPI_STATUS_IGNORE))) return e;
		int *answer = &answers[at++ % 256];
		*answer = is_stuck;
		MPI_Request r;
		if ((e = MPI_Isend(answer, 1, MPI_INT, s.MPI_SOURCE, HERE, side, &r)) || (e = MPI_Request_free(&r))) return e;
	}
	return 0;
}

// ask asks all others whether they live.
static int ask(void) {
	for (int e, i = 0; i < ranks; i++) {
		MPI_Request r;
		if (i == me) continue;
		if ((e = MPI_Isend(NULL, 0, MPI_INT, i, ASK, side, &r)) || (e = MPI_Request_free(&r))) return e;
	}
	return 0;
}

// hear takes the answers that have come, and finds who has not answered for too long. It returns SILENT in the lowest
// rank that does: the one that ends the run.
static int hear(int64_t waited) {
	for (int e, there, stuck;;) {
		MPI_Status s;
		if ((e = MPI_Iprobe(MPI_ANY_SOURCE, HERE, side, &there, &s))) return e;
		if (!there) break;
		if ((e = MPI_Recv(&stuck, 1, MPI_INT, s.MPI_SOURCE, HERE, side, MPI_STATUS_IGNORE))) return e;
		if (!stuck) heard[s.MPI_SOURCE] = waited;
	}
	int all = 0, lower = 0;
	for (int i = 0; i < ranks; i++) {
		gone[i] = i != me && waited - heard[i] > patience;
		all += gone[i];
		lower += i < me && gone[i];
	}
	return all && lower == me ? SILENT : 0;
}

// await returns when a request is done, or SILENT when it never will be. MPI's own waits spin, and a rank that waits
// for the slowest would take the cores that software Vulkan computes on: so spin for about 100 microseconds, then sleep
// between looks. A gap between two looks is time in which this process was stopped, and does not count.
static int await(MPI_Request *r) {
	int64_t waited = 0, served = 0, asked = 0, last = clock_ns();
	for (int e, done;;) {
		if ((e = MPI_Test(r, &done, MPI_STATUS_IGNORE)) || done) return e;
		int64_t now = clock_ns(), gap = now - last;
		last = now;
		waited += gap < SECOND ? gap : SECOND;
		if (waited < 100000) {
			sched_yield();
			continue;
		}
		if (waited - served > SECOND / 10) {
			served = waited;
			if ((e = serve())) return e;
			if (asked && (e = hear(waited))) return e;
			if (waited > (asked ? asked + SECOND : patience / 4 < 5 * SECOND ? patience / 4 : 5 * SECOND)) {
				if (!asked) for (int i = 0; i < ranks; i++) heard[i] = waited;
				asked = waited;
				if ((e = ask())) return e;
			}
		}
		struct timespec nap = {0, waited < SECOND ? 50000 : 1000000};
		nanosleep(&nap, NULL);
	}
}

// meet returns when all ranks have come.
static int meet(void) {
	MPI_Request r;
	int e = MPI_Ibarrier(MPI_COMM_WORLD, &r);
	return e ? e : await(&r);
}

static int sum_f32(float *v, int n) {
	MPI_Request r;
	int e = MPI_Iallreduce(MPI_IN_PLACE, v, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &r);
	return e ? e : await(&r);
}

// Round to nearest, ties to even; a NaN stays one.
static inline uint16_t to_bf16(float f) {
	uint32_t u;
	memcpy(&u, &f, 4);
	if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16) | 0x40;
	return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
static inline float from_bf16(uint16_t h) {
	uint32_t u = (uint32_t)h << 16;
	float f;
	memcpy(&f, &u, 4);
	return f;
}

// sum_bf16 sends bfloat16 and adds float32: rank r receives everybody's part r, adds it up in order of rank, rounds the
// sum once, and all gather the sums. So every rank has the same bits whatever the number of ranks. scratch holds
// (2 size + 1) part values.
static int sum_bf16(float *v, size_t n, int size, size_t part, uint16_t *scratch) {
	uint16_t *out = scratch, *in = out + part * size, *sum = in + part * size;
	int e;
	for (size_t i = 0; i < n; i++) out[i] = to_bf16(v[i]);
	for (size_t i = n; i < part * size; i++) out[i] = 0;
	MPI_Request r;
	e = MPI_Ialltoall(out, (int)part, MPI_UINT16_T, in, (int)part, MPI_UINT16_T, MPI_COMM_WORLD, &r);
	if (e || (e = await(&r))) return e;
	for (size_t i = 0; i < part; i++) {
		float s = 0;
		for (int k = 0; k < size; k++) s += from_bf16(in[k * part + i]);
		sum[i] = to_bf16(s);
	}
	e = MPI_Iallgather(sum, (int)part, MPI_UINT16_T, out, (int)part, MPI_UINT16_T, MPI_COMM_WORLD, &r);
	if (e || (e = await(&r))) return e;
	for (size_t i = 0; i < n; i++) v[i] = from_bf16(out[i]);
	return 0;
}

static int gather(void *mine, void *all, int n) {
	MPI_Request r;
	int e = meet();
	if (e || (e = MPI_Iallgather(mine, n, MPI_BYTE, all, n, MPI_BYTE, MPI_COMM_WORLD, &r))) return e;
	return await(&r);
}
static int bcast(void *b, int n, int root) {
	MPI_Request r;
	int e = meet();
	if (e || (e = MPI_Ibcast(b, n, MPI_BYTE, root, MPI_COMM_WORLD, &r))) return e;
	return await(&r);
}
static int leave(void) {
	open_ = 0;
	return MPI_Finalize();
}
static void set_stuck(int is) { is_stuck = is; }
static int is_gone(int rank) { return gone[rank]; }
static void stop(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

static char *text(int code) {
	char *s = malloc(MPI_MAX_ERROR_STRING + 1);
	int n = 0;
	if (MPI_Error_string(code, s, &n)) n = 0;
	s[n] = 0;
	return s;
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// group speaks from one goroutine on one thread, as MPI_THREAD_FUNNELED asks; the methods hand it their work.
type group struct {
	rank, size, local int

	jobs    chan func()
	scratch []uint16 // of sum_bf16
	lost    error    // of the call that found a rank silent; MPI's thread only
	stuck   atomic.Pointer[func() bool]

	mu      sync.Mutex
	traffic ranks.Traffic
}

// rest is how often MPI's thread looks for questions of other ranks while it has nothing to do.
const rest = 500 * time.Millisecond

// work does the jobs on one thread, and answers the other ranks in between.
func (g *group) work() {
	runtime.LockOSThread()
	for tick := time.NewTicker(rest); ; {
		select {
		case job := <-g.jobs:
			job()
		case <-tick.C:
			if f := g.stuck.Load(); f != nil && (*f)() {
				C.set_stuck(1)
			}
			C.serve() // an error shows in the next job
		}
	}
}

// Watch makes stuck say whether this rank's device has ceased to answer: to the others the rank is silent then. MPI's
// thread calls it twice a second while it does nothing else.
func (g *group) Watch(stuck func() bool) { g.stuck.Store(&stuck) }

func open(l ranks.Launch) (ranks.Group, error) {
	// Open MPI would install signal handlers without the alternate stack that Go's runtime insists on.
	os.Setenv("OMPI_MCA_opal_signal", "")
	g := &group{rank: l.Rank, size: l.Size, jobs: make(chan func())}
	go g.work()
	var rank, size, local C.int
	if err := g.call("MPI_Init_thread", func() C.int {
		return C.start(&rank, &size, &local, C.int64_t(gpu.Patience()))
	}); err != nil {
		return nil, err
	}
	if int(size) != l.Size || int(rank) != l.Rank {
		return nil, fmt.Errorf("rank %d of %d, as %s says, is rank %d of %d to MPI; hint: start the ranks with the "+
			"mpirun of the MPI that this program was built with", l.Rank, l.Size, l.By, rank, size)
	}
	if g.local = int(local); os.Getenv("LOCAL_RANK") != "" {
		g.local = l.Local
	}
	return g, nil
}

// call runs f on MPI's thread.
func (g *group) call(what string, f func() C.int) error {
	var err error
	done := make(chan struct{})
	g.jobs <- func() {
		defer close(done)
		if err = g.lost; err != nil {
			return
		}
		switch code := f(); code {
		case 0:
		case C.SILENT:
			lost := &ranks.LostError{Waited: gpu.Patience()}
			for rank := range g.size {
				if C.is_gone(C.int(rank)) != 0 {
					lost.Ranks = append(lost.Ranks, rank)
				}
			}
			g.lost, err = lost, lost
		default:
			s := C.text(code)
			defer C.free(unsafe.Pointer(s))
			err = fmt.Errorf("rank %d of %d: %s: %s; hint: look for the first message, another rank may have failed "+
				"before", g.rank, g.size, what, strings.TrimSpace(C.GoString(s)))
		}
	}
	<-done
	return err
}

func (g *group) Rank() int  { return g.rank }
func (g *group) Size() int  { return g.size }
func (g *group) Local() int { return g.local }

// mostValues bounds one call: MPI counts in int, and bfloat16's scratch should stay small.
const mostValues = 8 << 20

func (g *group) AllreduceSum(v []float32, wire ranks.Wire) error {
	for some := range slices.Chunk(v, mostValues) {
		if err := g.sum(some, wire); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) sum(v []float32, wire ranks.Wire) error {
	start := time.Now()
	if err := g.call("waiting for the other ranks", func() C.int { return C.meet() }); err != nil {
		return err
	}
	met := time.Now()
	bytes := 4
	what, f := "MPI_Allreduce", func() C.int { return C.sum_f32((*C.float)(&v[0]), C.int(len(v))) }
	if wire == ranks.WireBF16 {
		bytes = 2
		part := (len(v) + g.size - 1) / g.size
		if need := (2*g.size + 1) * part; len(g.scratch) < need {
			g.scratch = make([]uint16, need)
		}
		what, f = "MPI_Alltoall of bf16", func() C.int {
			return C.sum_bf16((*C.float)(&v[0]), C.size_t(len(v)), C.int(g.size), C.size_t(part),
				(*C.uint16_t)(&g.scratch[0]))
		}
	}
	err := g.call(what, f)
	g.mu.Lock()
	g.traffic.Bytes += int64(bytes*len(v)) * 2 * int64(g.size-1) / int64(g.size)
	g.traffic.Wait += met.Sub(start)
	g.traffic.Comm += time.Since(met)
	g.mu.Unlock()
	return err
}

func (g *group) Allgather(mine []byte) ([][]byte, error) {
	if len(mine) == 0 {
		return make([][]byte, g.size), nil
	}
	all := make([]byte, len(mine)*g.size)
	err := g.call("MPI_Allgather", func() C.int {
		return C.gather(unsafe.Pointer(&mine[0]), unsafe.Pointer(&all[0]), C.int(len(mine)))
	})
	out := make([][]byte, g.size)
	for r := range out {
		out[r] = all[r*len(mine) : (r+1)*len(mine)]
	}
	return out, err
}

func (g *group) Bcast(b []byte, root int) error {
	for some := range slices.Chunk(b, 64<<20) {
		if err := g.call("MPI_Bcast", func() C.int {
			return C.bcast(unsafe.Pointer(&some[0]), C.int(len(some)), C.int(root))
		}); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) Traffic() ranks.Traffic {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.traffic
}

// Abort may be called while MPI's thread waits for ranks that never come: then leaving without a farewell makes
// the launcher to end the others.
func (g *group) Abort(code int) {
	select {
	case g.jobs <- func() { C.stop(C.int(code)) }:
		time.Sleep(2 * time.Second) // MPI_Abort ends the process
	case <-time.After(200 * time.Millisecond):
	}
	os.Exit(code)
}

func (g *group) Close() error {
	return g.call("MPI_Finalize", func() C.int {
		if e := C.meet(); e != 0 {
			return e
		}
		return C.leave()
	})
}
