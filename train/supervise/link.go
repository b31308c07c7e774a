//go:build !js

package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Hello is what a supervisor says first to a process that it has started.
type Hello struct {
	Parent   int      `json:"parent"`   // the supervisor's process id
	Out      string   `json:"out"`      // the run's directory, whose lock the supervisor holds
	Resume   bool     `json:"resume"`   // go on with what an earlier process has begun
	First    int      `json:"first"`    // the step at which the supervised run began; -1: it begins now
	Restarts []string `json:"restarts"` // why, of each restart that no process has recorded yet
}

// Ending is how a process ended by itself.
type Ending string

// The endings. A process that says none has crashed.
const (
	Ended  Ending = "ended"  // with an exit code that counts: it has said what there is to say
	Failed Ending = "failed" // by an error that another process may not meet, such as a lost device
)

// message is a line from the child: one field is set.
type message struct {
	Pulse  *Pulse `json:"pulse,omitempty"`
	Began  *int   `json:"began,omitempty"`
	Ending Ending `json:"ending,omitempty"`
	Reason string `json:"reason,omitempty"` // of Failed
}

// stopWord is the line that asks the child to stop.
const stopWord = "stop"

// Link is the child's end.
type Link struct {
	Hello
	Stderr *os.File // the supervisor's; file descriptor 2 is a pipe for what native code prints when it crashes

	to    *os.File
	lock  *os.File   // the supervisor's, open so that it holds until both have ended; nil: none
	mu    sync.Mutex // of to
	pulse atomic.Pointer[func() Pulse]
	stop  chan struct{} // closed when the supervisor asks for it
}

// Attach opens the ends that word names. From then on the process ends when its supervisor does. Error: word is not
// from a supervisor that runs.
func Attach(word string) (*Link, error) {
	refused := errors.New("only a running gpt2wgpu train starts it")
	numbers := strings.Split(word, ",")
	if len(numbers) != 3 && len(numbers) != 4 {
		return nil, refused
	}
	var files [4]*os.File
	for i, number := range numbers {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, refused
		}
		closeOnExec(uintptr(n))
		if files[i] = os.NewFile(uintptr(n), "supervisor"); files[i] == nil {
			return nil, refused
		}
	}
	l := &Link{to: files[0], Stderr: files[2], lock: files[3], stop: make(chan struct{})}
	from := bufio.NewReader(files[1])
	line, err := from.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &l.Hello)
	}
	if err != nil || l.Parent != os.Getppid() {
		return nil, refused
	}
	go l.listen(from)
	go l.tick()
	return l, nil
}

// listen takes what the supervisor says after its hello, and ends the process with it.
func (l *Link) listen(from *bufio.Reader) {
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			os.Exit(1)
		}
		if strings.TrimSpace(line) == stopWord {
			select {
			case <-l.stop:
			default:
				close(l.stop)
			}
		}
	}
}

// Stop is closed when the supervisor asks the process to stop.
func (l *Link) Stop() <-chan struct{} { return l.stop }

// Watch makes f report how the process goes on. Any goroutine may call f.
func (l *Link) Watch(f func() Pulse) { l.pulse.Store(&f) }

func (l *Link) tick() {
	for {
		p := Pulse{}
		if f := l.pulse.Load(); f != nil {
			p = (*f)()
		}
		l.say(message{Pulse: &p})
		time.Sleep(beat)
	}
}

// Began says that the work begins at step, with the reasons of Restarts recorded.
func (l *Link) Began(step int) { l.say(message{Began: &step}) }

// End says how the process ends. It is the last call.
func (l *Link) End(how Ending, reason string) { l.say(message{Ending: how, Reason: reason}) }

func (l *Link) say(m message) {
	raw, _ := json.Marshal(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.to, "%s\n", raw) // nobody there: listen ends the process
}
