package dashboard

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// stream is one open page: what was sent to it, and what is to be sent. It reads the files by itself, as fast as the
// page takes the data.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	rc      *http.ResponseController
	rows    map[string]string // that the page has, by id
	last    time.Time         // when something was sent
	greeted bool              // all rows were sent once

	chosen    []string // ids
	from      []metrics.Position
	followers []*metrics.Follower // nil: the run was not found yet
}

// quietTime is how long a stream is silent at most. Then it sends a comment, so that the connection stays open.
const quietTime = 15 * time.Second

// events sends the list of runs, and the curves of those that run=ID or run=ID@POSITION choose, from that position on,
// and goes on with what is written later.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	chosen := r.URL.Query()["run"]
	if len(chosen) > mostChosen {
		refuse(w, http.StatusBadRequest, "%d runs were chosen, want at most %d", len(chosen), mostChosen)
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		refuse(w, http.StatusServiceUnavailable, "%d pages are open, which is the most; hint: close one", mostStreams)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	t := &stream{s: s, w: w, rc: http.NewResponseController(w), rows: map[string]string{}, last: time.Now()}
	t.rc.SetReadDeadline(time.Time{})
	if t.rc.Flush() != nil { // the page is connected, though a first reading may take a while
		return
	}
	for _, c := range chosen {
		id, at, _ := strings.Cut(c, "@")
		t.chosen, t.from = append(t.chosen, id), append(t.from, metrics.ParsePosition(at))
	}
	t.followers = make([]*metrics.Follower, len(chosen))
	ticker := time.NewTicker(s.tick)
	defer ticker.Stop()
	for {
		if t.sendRows() != nil || t.sendCurves(r.Context().Done()) != nil {
			return // the page is gone, or takes nothing
		}
		if time.Since(t.last) > quietTime && t.write(": alive\n\n") != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

// send sends an event.
func (t *stream) send(event string, data []byte) error {
	return t.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, data))
}

func (t *stream) write(text string) error {
	t.rc.SetWriteDeadline(time.Now().Add(t.s.patience))
	if _, err := t.w.Write([]byte(text)); err != nil {
		return err
	}
	t.last = time.Now()
	return t.rc.Flush()
}

// sendRows sends the rows that have changed, and which are gone.
func (t *stream) sendRows() error {
	t.s.list.refresh()
	ids, rows := t.s.list.rows()
	there := map[string]bool{}
	changed := []json.RawMessage{}
	for i, id := range ids {
		there[id] = true
		if t.rows[id] != rows[i] {
			t.rows[id] = rows[i]
			changed = append(changed, json.RawMessage(rows[i]))
		}
	}
	gone := []string{}
	for id := range t.rows {
		if !there[id] {
			gone = append(gone, id)
			delete(t.rows, id)
		}
	}
	if t.greeted && len(changed) == 0 && len(gone) == 0 {
		return nil
	}
	raw, err := json.Marshal(struct {
		Rows  []json.RawMessage `json:"rows"`
		Gone  []string          `json:"gone"`
		Whole bool              `json:"whole,omitempty"` // these are all rows
		Dirs  []string          `json:"dirs,omitempty"`
	}{changed, gone, !t.greeted, t.s.list.places(t.greeted)})
	t.greeted = true
	if err != nil {
		return err
	}
	return t.send("runs", raw)
}

// sendCurves sends what the chosen runs have written since.
func (t *stream) sendCurves(done <-chan struct{}) error {
	for i, id := range t.chosen {
		if t.followers[i] == nil {
			t.followers[i] = t.s.list.follow(id, t.from[i])
		}
		for more := t.followers[i] != nil; more; {
			select {
			case <-done:
				return nil
			default:
			}
			p, err := t.followers[i].Next()
			if err != nil { // its row has the trouble
				break
			}
			if len(p.Lines) > 0 || p.Anew || p.Bad > 0 {
				if err := t.send("lines", encode(id, p)); err != nil {
					return err
				}
			}
			more = p.More
		}
	}
	return nil
}

// piece is lines of a run. Steps travel as columns.
type piece struct {
	ID    string `json:"id"`
	At    string `json:"at"`             // where the next piece begins
	Anew  bool   `json:"anew,omitempty"` // all pieces before are no longer valid
	More  bool   `json:"more,omitempty"` // the next piece comes at once
	Steps struct {
		Step       json.RawMessage `json:"step"`
		Loss       json.RawMessage `json:"loss"`
		LR         json.RawMessage `json:"lr"`
		GradNorm   json.RawMessage `json:"grad_norm"`
		Tokens     json.RawMessage `json:"tokens"`
		MS         json.RawMessage `json:"ms"`
		TokensPerS json.RawMessage `json:"tokens_per_s"`
	} `json:"train"`
	Val       []metrics.Validation `json:"val,omitempty"`
	Hellaswag []metrics.Hellaswag  `json:"hellaswag,omitempty"`
	Samples   []metrics.Sample     `json:"sample,omitempty"`
	Restarts  []metrics.Restart    `json:"restart,omitempty"`
}

func encode(id string, p metrics.Piece) []byte {
	out := piece{ID: id, At: p.At.String(), Anew: p.Anew, More: p.More}
	var steps []metrics.Line
	for _, m := range p.Lines {
		switch m.Kind {
		case metrics.KindTrain:
			steps = append(steps, m)
		case metrics.KindVal:
			out.Val = append(out.Val, metrics.Validation{Step: m.Step, Loss: m.Loss, BitsPerByte: m.BitsPerByte})
		case metrics.KindHellaswag:
			out.Hellaswag = append(out.Hellaswag, metrics.Hellaswag{Step: m.Step, Score: m.Score})
		case metrics.KindSample:
			out.Samples = append(out.Samples, metrics.Sample{Step: m.Step, Text: m.Text})
		case metrics.KindRestart:
			out.Restarts = append(out.Restarts, metrics.Restart{Step: m.Step, Reason: m.Reason})
		}
	}
	c := &out.Steps
	c.Step = column(steps, func(m *metrics.Line) float64 { return float64(m.Step) })
	c.Loss = column(steps, func(m *metrics.Line) float64 { return float64(m.Loss) })
	c.LR = column(steps, func(m *metrics.Line) float64 { return float64(m.LR) })
	c.GradNorm = column(steps, func(m *metrics.Line) float64 { return float64(m.GradNorm) })
	c.Tokens = column(steps, func(m *metrics.Line) float64 { return float64(m.Tokens) })
	c.MS = column(steps, func(m *metrics.Line) float64 { return float64(m.MS) })
	c.TokensPerS = column(steps, func(m *metrics.Line) float64 { return float64(m.TokensPerS) })
	raw, err := json.Marshal(out)
	if err != nil { // JSON has all these types
		panic(err)
	}
	return raw
}

// column is a JSON array with the seven digits that a page can show; whole numbers keep all.
func column(lines []metrics.Line, value func(*metrics.Line) float64) json.RawMessage {
	out := make([]byte, 0, 2+10*len(lines))
	out = append(out, '[')
	for i := range lines {
		if i > 0 {
			out = append(out, ',')
		}
		switch v := value(&lines[i]); {
		case math.IsNaN(v) || math.IsInf(v, 0):
			out = append(out, "null"...)
		case v == math.Trunc(v) && math.Abs(v) < 1<<53:
			out = strconv.AppendInt(out, int64(v), 10)
		default:
			out = strconv.AppendFloat(out, v, 'g', 7, 64)
		}
	}
	return append(out, ']')
}
