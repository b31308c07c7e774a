package panel

import (
	"cmp"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Wish is what a key asks for.
type Wish uint

// The wishes.
const (
	Stop Wish = 1 << iota
	Sample
	Validate
	Checkpoint
	Pause // for as long as it holds
)

// Panel is a panel on a terminal. Its methods are safe for concurrent use.
type Panel struct {
	mu      sync.Mutex
	state   State
	changed bool // since shown was made
	shown   string
	size    [2]int // of shown, width and height
	wishes  Wish
	paused  bool

	program   *tea.Program
	ended     chan struct{}
	interrupt func()
}

// Open shows a panel on out. Keys come from in; nil: there are none. interrupt is what Ctrl-C does, which reaches the
// program as a key here.
func Open(in io.Reader, out io.Writer, plan Plan, interrupt func()) *Panel {
	p := &Panel{state: State{Plan: plan}, ended: make(chan struct{}), interrupt: interrupt}
	options := []tea.ProgramOption{tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler(),
		tea.WithFPS(framesPerSecond)}
	if _, terminal := out.(*os.File); !terminal {
		options = append(options, tea.WithWindowSize(80, 24))
	}
	p.program = tea.NewProgram(model{p: p, width: 80, height: 24}, options...)
	go func() {
		defer close(p.ended)
		p.program.Run() // where it fails the run goes on without it
	}()
	return p
}

// Change changes the state.
func (p *Panel) Change(f func(s *State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.state)
	p.changed = true
}

// Record takes a record of metrics.jsonl.
func (p *Panel) Record(m metrics.Line) { p.Change(func(s *State) { s.Record(m) }) }

// Print leaves lines above the panel: each by itself, since bubbletea draws in the wrong place where the lines and the
// panel do not fit the terminal together, and leaves out a line without text. A tab, whose width depends on where it
// begins, becomes spaces.
func (p *Panel) Print(text string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(strings.ReplaceAll(text, "\t", "    "), "\n"), "\n") {
		select {
		case <-p.ended:
			return
		default:
			p.program.Send(tea.Println(cmp.Or(line, " "))()) // Program.Println waits for one that has ended
		}
	}
}

// Wishes returns what keys have asked for since the last call.
func (p *Panel) Wishes() Wish {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.wishes
	if p.wishes = 0; p.paused {
		w |= Pause
	}
	return w
}

// Close leaves the bar as it is, and gives the terminal back.
func (p *Panel) Close() {
	p.Change(func(s *State) { s.Done = true })
	p.program.Send(redraw{})
	time.Sleep(3 * time.Second / framesPerSecond) // it draws by its clock, and drops what is left when it quits
	go p.program.Quit()
	select {
	case <-p.ended:
	case <-time.After(patience): // a terminal that has gone, or takes nothing
		p.program.Kill()
	}
}

// patience is how long a terminal may take for the last picture.
const patience = 2 * time.Second

const framesPerSecond = 10

// model is bubbletea's side of a panel.
type model struct {
	p             *Panel
	width, height int
}

type redraw struct{}

// interval is how often the picture is looked at again.
const interval = 250 * time.Millisecond

func tick() tea.Cmd { return tea.Tick(interval, func(time.Time) tea.Msg { return redraw{} }) }

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return tick() }

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.ResumeMsg:
		m.p.Change(func(s *State) { s.Idle = true })
	case redraw:
		return m, tick()
	case tea.KeyPressMsg:
		if msg.String() == "ctrl+z" {
			return m, tea.Suspend
		}
		m.p.key(msg.String())
	}
	return m, nil
}

// View implements tea.Model.
func (m model) View() tea.View {
	p, size := m.p, [2]int{max(m.width, Least), max(m.height, 4)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed || p.size != size {
		p.shown, p.size, p.changed = p.state.View(size[0], size[1]), size, false
	}
	return tea.NewView(p.shown)
}

// key takes a key.
func (p *Panel) key(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.state
	p.changed = true
	ask := func(w Wish, text string) { p.wishes, s.Asked = p.wishes|w, text }
	switch name {
	case "q":
		ask(Stop, "")
		s.Ending = true
	case "ctrl+c":
		s.Ending = true
		go p.interrupt() // which prints
	case "s":
		ask(Sample, "a sample comes after this step")
	case "e":
		ask(Validate, "a validation comes after this step")
	case "c":
		ask(Checkpoint, "a checkpoint comes after this step")
	case "p", "space":
		p.paused = !p.paused
		s.Paused, s.Idle = p.paused, true
	case "?", "h":
		s.Help = !s.Help
	}
}
