// attention_backward_dkv_tiled: the keys' and values' gradients, for GPUs. For one batch row and head, with
// s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS), p[t,u] = exp(s[t,u] - lse[t]) for t >= u and attention_backward_d's d:
//
//   dv[u,i] = sum_t p[t,u] * dout[t,i]
//   ds[t,u] = p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t])
//   dk[u,i] = sum_t ds[t,u] * q[t,i] / sqrt(HS)
//
// out: dqkv (N,3C), the keys' and values' columns      in: dout (N,C)  qkv (N,3C)  lse (B,NH,T)  d (B,NH,T)
// dispatch: x: ceil(T / ROWS) groups, y: B*NH.  HS = C/NH, a multiple of 4; WX a power of 2; TK 2 or 4; BQ a
// multiple of TURN, at most WX/TEAM.
//
// As attention_backward_dq_tiled, with keys for queries: a team shares TK keys, and each thread finishes two queries of
// one key.
//
// uses: store attention_gradients

const HS: u32 = 64u; // spec: channels a head
const TK: u32 = 4u; // spec: keys of a team
const BQ: u32 = 8u; // spec: queries a tile
const WX: u32 = 64u; // spec: threads
const TEAM: u32 = 8u; // spec: threads that share rows, 8 or 4
const TEAMS: u32 = WX / TEAM;
const ROWS: u32 = TEAMS * TK;
const HS4: u32 = HS / 4u;
const OWN: u32 = (HS4 + TEAM - 1u) / TEAM; // quads of a row that a thread holds
const LAST: u32 = HS4 - 1u - (OWN - 1u) * TEAM; // the team's last thread that holds OWN quads
const QUADS: u32 = TK * OWN;
const PAIRS: u32 = TEAM / TK; // of queries
const OTHERS: u32 = TEAM - 1u;
const OTHER_PAIRS: u32 = PAIRS - 1u;
const REST: u32 = TK - 1u;
const TURN: u32 = PAIRS * 2u;
const TURNS: u32 = BQ / TURN;

// (thread's quad, turn, pair, query of the pair, thread of the team)
var<workgroup> qs: array<array<array<array<array<vec4<f32>, TEAM>, 2>, PAIRS>, TURNS>, OWN>;
var<workgroup> gs: array<array<array<array<array<vec4<f32>, TEAM>, 2>, PAIRS>, TURNS>, OWN>; // dout
var<workgroup> swap: array<array<vec4<f32>, WX>, OTHERS>; // for each neighbour
var<workgroup> weights: array<vec4<f32>, WX>; // p and ds of two queries

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let first = wid.x * ROWS;
    let team = li / TEAM;
    let place = li % TEAM;
    let turn = place / PAIRS; // its i-th key is the team's i ^ turn
    let pair = place % PAIRS; // and its n-th pair the n ^ pair
    let row = first + team * TK;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let head = wid.y % p.NH * HS4;
    let over = select(place - min(place, LAST), 0u, LAST == OTHERS); // beyond a row's end: its last quad, times zero
    let q0 = batch * 3u * c4 + head;
    let k0 = q0 + c4;
    var k: array<vec4<f32>, QUADS>; // (key, quad)
    var v: array<vec4<f32>, QUADS>;
    for (var i = 0u; i < TK; i++) { // unroll
        for (var c = 0u; c < OWN; c++) { // unroll
            let quad = c * TEAM + place - select(0u, over, c == OWN - 1u);
            let at = k0 + min(row + (i ^ turn), p.T - 1u) * 3u * c4 + quad;
            let keep = select(1.0, 0.0, c * TEAM + place >= HS4);
            k[i * OWN + c] = unpack4(qkv[at]) * (p.SCALE * keep);
            v[i * OWN + c] = unpack4(qkv[at + c4]) * keep;
        }
    }
    var dk: array<vec4<f32>, QUADS>;
    var dv: array<vec4<f32>, QUADS>;
    for (var start = first; start < p.T; start += BQ) {
        workgroupBarrier();
        if BQ == TEAMS || team < BQ {
            let t = min(start + team, p.T - 1u);
            for (var c = 0u; c < OWN; c++) { // unroll
                let quad = c * TEAM + place - select(0u, over, c == OWN - 1u);
                qs[c][team / TURN][team / 2u % PAIRS][team % 2u][place] = unpack4(qkv[q0 + t * 3u * c4 + quad]);
                gs[c][team / TURN][team / 2u % PAIRS][team % 2u][place] = unpack4(dout[(batch + t) * c4 + head + quad]);
            }
        }
        workgroupBarrier();
        for (var j = 0u; j < TURNS; j++) {
            let t = vec2<u32>(start + j * TURN + pair * 2u) + vec2<u32>(0u, 1u);
            let stat = vec2<u32>(wid.y * p.T) + min(t, vec2<u32>(p.T - 1u));
            let l = vec2<f32>(lse[stat.x], lse[stat.y]);
            let sum = vec2<f32>(d[stat.x], d[stat.y]);
            var s = array<vec4<f32>, TEAM>(); // (key, pair): s and dp of two queries
            for (var n = 0u; n < PAIRS; n++) { // unroll
                for (var c = 0u; c < OWN; c++) { // unroll
                    let a0 = qs[c][j][n ^ pair][0u][place];
                    let a1 = qs[c][j][n ^ pair][1u][place];
                    let b0 = gs[c][j][n ^ pair][0u][place];
                    let b1 = gs[c][j][n ^ pair][1u][place];
                    for (var i = 0u; i < TK; i++) { // unroll
                        s[i * PAIRS + n] = fma(vec4<f32>(k[i * OWN + c].xx, v[i * OWN + c].xx),
                            vec4<f32>(a0.x, a1.x, b0.x, b1.x), s[i * PAIRS + n]);
                        s[i * PAIRS + n] = fma(vec4<f32>(k[i * OWN + c].yy, v[i * OWN + c].yy),
                            vec4<f32>(a0.y, a1.y, b0.y, b1.y), s[i * PAIRS + n]);
                        s[i * PAIRS + n] = fma(vec4<f32>(k[i * OWN + c].zz, v[i * OWN + c].zz),
                            vec4<f32>(a0.z, a1.z, b0.z, b1.z), s[i * PAIRS + n]);
                        s[i * PAIRS + n] = fma(vec4<f32>(k[i * OWN + c].ww, v[i * OWN + c].ww),
                            vec4<f32>(a0.w, a1.w, b0.w, b1.w), s[i * PAIRS + n]);
                    }
                }
                for (var i = 0u; i < REST; i++) { // unroll
                    swap[(i + 1u) * PAIRS + n - 1u][li] = s[(i + 1u) * PAIRS + n];
                }
            }
            for (var n = 0u; n < OTHER_PAIRS; n++) { // unroll
                swap[n][li] = s[n + 1u];
            }
            workgroupBarrier();
            for (var n = 0u; n < OTHERS; n++) { // unroll
                s[0u] += swap[n][li ^ (n + 1u)];
            }
            let keep = (vec2<u32>(row + turn) <= t) & (t < vec2<u32>(p.T));
            let w = select(vec2<f32>(0.0), exp(min(s[0u].xy - l, vec2<f32>(0.0))), keep);
            weights[li] = vec4<f32>(w, w * (s[0u].zw - sum));
            workgroupBarrier();
            for (var n = 0u; n < PAIRS; n++) { // unroll
                var w = array<vec4<f32>, TK>();
                for (var i = 0u; i < TK; i++) { // unroll
                    w[i] = weights[li ^ (i * PAIRS + n)];
                }
                for (var c = 0u; c < OWN; c++) { // unroll
                    let a0 = qs[c][j][n ^ pair][0u][place];
                    let a1 = qs[c][j][n ^ pair][1u][place];
                    let b0 = gs[c][j][n ^ pair][0u][place];
                    let b1 = gs[c][j][n ^ pair][1u][place];
                    for (var i = 0u; i < TK; i++) { // unroll
                        dv[i * OWN + c] = fma(vec4<f32>(w[i].y), b1, fma(vec4<f32>(w[i].x), b0, dv[i * OWN + c]));
                        dk[i * OWN + c] = fma(vec4<f32>(w[i].w), a1, fma(vec4<f32>(w[i].z), a0, dk[i * OWN + c]));
                    }
                }
            }
        }
    }
    for (var i = 0u; i < TK; i++) { // unroll
        let u = row + (i ^ turn);
        for (var c = 0u; c < OWN; c++) { // unroll
            let quad = c * TEAM + place;
            let at = k0 + u * 3u * c4 + quad;
            if u < p.T && quad < HS4 {
                dqkv[at] = pack4(dk[i * OWN + c] * p.SCALE);
                dqkv[at + c4] = pack4(dv[i * OWN + c]);
            }
        }
    }
}
