package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/dashboard"
)

// dashboardAddress is where the dashboard is without --listen.
const dashboardAddress = "127.0.0.1:6007"

var dashboardCommand = &command{
	group: "Runs and data",
	name:  "dashboard",
	args:  "[DIR...]",
	short: "Serve live curves of runs to a browser",
	long: `
Serves one page until it is interrupted: live curves of the runs that the directories are or hold (default: runs/), a
comparison of those that you choose, samples, the kernels of a profiled step, the memory plan, settings and events. Runs
that begin later appear by themselves. The page needs no network, and nobody can change anything through it.

Only this machine can reach it, unless --listen has another address; then whoever can reach that address can read the
runs. From another machine, ssh -L 6007:127.0.0.1:6007 HOST brings it to yours. train --dashboard serves the same while
it trains.`,
	examples: []string{
		"gpt2wgpu dashboard",
		"gpt2wgpu dashboard runs/first --listen 127.0.0.1:8080",
	},
	setup: func(fs *flagSet) runFunc {
		f := fs.section("Dashboard")
		listen := f.String("listen", dashboardAddress, "`address` to serve, HOST:PORT or PORT; port 0 is a free one")
		fs.logFlags(fs.section("Other"))
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) == 0 {
				args = []string{train.RunsDir}
			} else if err := checkDirs(args); err != nil {
				return err
			}
			o := dashboard.Options{Dirs: args, Program: typedName(os.Args[0])}
			server := dashboard.New(o)
			l, err := e.listen(server, "listen", *listen)
			if err != nil {
				return err
			}
			if err := server.Serve(ctx, l); err != nil {
				return err
			}
			return ctx.Err()
		}
	},
}

// checkDirs returns an error for a path that does not exist or is not a directory.
func checkDirs(dirs []string) error {
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		switch {
		case err != nil:
			return fmt.Errorf("%w; hint: name a run's directory, or one that holds runs", err)
		case !info.IsDir():
			return fmt.Errorf("%s: a file, want a directory; hint: %s", dir, filepath.Dir(dir))
		}
	}
	return nil
}

// listen opens the address of a flag, and logs the dashboard's URL.
func (e *env) listen(server *dashboard.Server, flag, address string) (net.Listener, error) {
	if _, _, err := dashboard.SplitAddress(address); err != nil {
		return nil, usagef("--%s is %q, want HOST:PORT or PORT (%w); hint: --%s %s", flag, address, err, flag,
			dashboardAddress)
	}
	l, err := server.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w; hint: --%s 127.0.0.1:0 takes a free port", flag, err, flag)
	}
	url := "http://" + l.Addr().String() + "/"
	e.log.Info("dashboard "+url, train.NewEvent("dashboard", "url", url))
	if server.Open() {
		e.log.Warn("whoever can reach " + l.Addr().String() + " can read these runs; hint: --" + flag + " " +
			dashboardAddress + " is for this machine only")
	}
	return l, nil
}

// serveTraining serves the dashboard of a training until stop is called, in the process that survives crashes. It
// reads only what the training writes, or, where nothing is saved, records in memory. address "": no dashboard.
func (e *env) serveTraining(ctx context.Context, address, out string) (watch train.Watch, stop func(), err error) {
	if address == "" {
		return watch, func() {}, nil
	}
	o := dashboard.Options{Program: typedName(os.Args[0])}
	if out != "" {
		o.Dirs, o.First = []string{out}, out
		if beside := filepath.Dir(filepath.Clean(out)); beside == train.RunsDir {
			o.Dirs = []string{beside} // to compare with
		}
	}
	server := dashboard.New(o)
	if out == "" {
		records := server.Memory("not saved")
		watch = train.Watch{Began: func(b train.Beginning) { server.Began(b.Record) }, Record: records.Add}
	}
	l, err := e.listen(server, "dashboard", address)
	if err != nil {
		return watch, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(ctx, l); err != nil {
			e.log.Warn(fmt.Sprintf("the dashboard has ended: %v", err))
		}
	}()
	return watch, func() { cancel(); <-ended }, nil
}
