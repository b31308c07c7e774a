// attention_backward_dq_tiled: the queries' gradient, for GPUs. For one batch row and head, with
// s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS), p[t,u] = exp(s[t,u] - lse[t]) for u <= t and attention_backward_d's d:
//
//   ds[t,u] = p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t])
//   dq[t,i] = sum_u ds[t,u] * k[u,i] / sqrt(HS)
//
// out: dqkv (N,3C), the queries' columns      in: dout (N,C)  qkv (N,3C)  lse (B,NH,T)  d (B,NH,T)
// dispatch: x: ceil(T / ROWS) groups, y: B*NH.  HS = C/NH, a multiple of 4; WX a power of 2; TQ 2 or 4; BK a
// multiple of TURN, at most WX/TEAM.
//
// As attention_forward_tiled, with teams of eight (four on DX12): each thread sums its part of the channels of s and
// dp = sum_i dout*v for TURN keys. The parts meet, and each thread finishes two keys of one query.
//
// uses: store attention_gradients

const HS: u32 = 64u; // spec: channels a head
const TQ: u32 = 4u; // spec: queries of a team
const BK: u32 = 8u; // spec: keys a tile
const WX: u32 = 64u; // spec: threads
const TEAM: u32 = 8u; // spec: threads that share rows, 8 or 4
const TEAMS: u32 = WX / TEAM;
const ROWS: u32 = TEAMS * TQ;
const HS4: u32 = HS / 4u;
const OWN: u32 = (HS4 + TEAM - 1u) / TEAM; // quads of a row that a thread holds
const LAST: u32 = HS4 - 1u - (OWN - 1u) * TEAM; // the team's last thread that holds OWN quads
const QUADS: u32 = TQ * OWN;
const PAIRS: u32 = TEAM / TQ; // of keys
const KEPT: u32 = PAIRS * OWN * 2u;
const AGAIN: bool = KEPT > 8u; // read the keys again instead: too many for registers
const OTHERS: u32 = TEAM - 1u;
const OTHER_PAIRS: u32 = PAIRS - 1u;
const REST: u32 = TQ - 1u;
const TURN: u32 = PAIRS * 2u;
const TURNS: u32 = BK / TURN;

// (thread's quad, turn, pair, key of the pair, thread of the team)
var<workgroup> ks: array<array<array<array<array<vec4<f32>, TEAM>, 2>, PAIRS>, TURNS>, OWN>;
var<workgroup> vs: array<array<array<array<array<vec4<f32>, TEAM>, 2>, PAIRS>, TURNS>, OWN>;
var<workgroup> swap: array<array<vec4<f32>, WX>, OTHERS>; // for each neighbour
var<workgroup> weights: array<vec2<f32>, WX>; // ds of two keys

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) li: u32) {
    let first = (nwg.x - 1u - wid.x) * ROWS;
    let end = min(first + ROWS, p.T); // the group's keys
    let team = li / TEAM;
    let place = li % TEAM;
    let turn = place / PAIRS; // its i-th query is the team's i ^ turn
    let pair = place % PAIRS; // and its n-th pair the n ^ pair
    let row = first + team * TQ;
    let mine = min(row + turn, p.T - 1u);
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let head = wid.y % p.NH * HS4;
    let over = select(place - min(place, LAST), 0u, LAST == OTHERS); // beyond a row's end: its last quad, times zero
    let q0 = batch * 3u * c4 + head;
    var q: array<vec4<f32>, QUADS>; // (query, quad)
    var g: array<vec4<f32>, QUADS>; // dout
    for (var i = 0u; i < TQ; i++) { // unroll
        for (var c = 0u; c < OWN; c++) { // unroll
            let t = min(row + (i ^ turn), p.T - 1u);
            let quad = c * TEAM + place - select(0u, over, c == OWN - 1u);
            let keep = select(1.0, 0.0, c * TEAM + place >= HS4);
            q[i * OWN + c] = unpack4(qkv[q0 + t * 3u * c4 + quad]) * (p.SCALE * keep);
            g[i * OWN + c] = unpack4(dout[(batch + t) * c4 + head + quad]) * keep;
        }
    }
    let l = lse[wid.y * p.T + mine];
    let sum = d[wid.y * p.T + mine];
    var dq: array<vec4<f32>, QUADS>;
    let last = q0 + c4 + place + (p.T - 1u) * 3u * c4;
    var next = q0 + c4 + place + team * 3u * c4;
    for (var start = 0u; start < end; start += BK) {
        workgroupBarrier();
        if BK == TEAMS || team < BK {
            for (var c = 0u; c < OWN; c++) { // unroll
                let at = min(next, last) + c * TEAM - select(0u, over, c == OWN - 1u);
                ks[c][team / TURN][team / 2u % PAIRS][team % 2u][place] = unpack4(qkv[at]);
                vs[c][team / TURN][team / 2u % PAIRS][team % 2u][place] = unpack4(qkv[at + c4]);
            }
        }
        next += BK * 3u * c4;
        workgroupBarrier();
        for (var j = 0u; j < TURNS; j++) {
            var kept = array<vec4<f32>, KEPT>();
            var s = array<vec4<f32>, TEAM>(); // (query, pair): s and dp of two keys
            for (var n = 0u; n < PAIRS; n++) { // unroll
                for (var c = 0u; c < OWN; c++) { // unroll
                    let a0 = ks[c][j][n ^ pair][0u][place];
                    let a1 = ks[c][j][n ^ pair][1u][place];
                    kept[(n * OWN + c) * 2u] = a0;
                    kept[(n * OWN + c) * 2u + 1u] = a1;
                    let b0 = vs[c][j][n ^ pair][0u][place];
                    let b1 = vs[c][j][n ^ pair][1u][place];
                    for (var i = 0u; i < TQ; i++) { // unroll
                        s[i * PAIRS + n] = fma(vec4<f32>(q[i * OWN + c].xx, g[i * OWN + c].xx),
                            vec4<f32>(a0.x, a1.x, b0.x, b1.x), s[i * PAIRS + n]);
                        s[i * PAIRS + n] = fma(vec4<f32>(q[i * OWN + c].yy, g[i * OWN + c].yy),
                            vec4<f32>(a0.y, a1.y, b0.y, b1.y), s[i * PAIRS + n]);
                        s[i * PAIRS + n] = fma(vec4<f32>(q[i * OWN + c].zz, g[i * OWN + c].zz),
                            vec4<f32>(a0.z, a1.z, b0.z, b1.z), s[i * PAIRS + n]);
                        s[i * PAIRS + n] = fma(vec4<f32>(q[i * OWN + c].ww, g[i * OWN + c].ww),
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
            let u = vec2<u32>(start + j * TURN + pair * 2u) + vec2<u32>(0u, 1u);
            let ds = exp(min(s[0u].xy - l, vec2<f32>(0.0))) * (s[0u].zw - sum);
            weights[li] = select(vec2<f32>(0.0), ds, u <= vec2<u32>(row + turn));
            workgroupBarrier();
            for (var n = 0u; n < PAIRS; n++) { // unroll
                var w = array<vec2<f32>, TQ>();
                for (var i = 0u; i < TQ; i++) { // unroll
                    w[i] = weights[li ^ (i * PAIRS + n)];
                }
                for (var c = 0u; c < OWN; c++) { // unroll
                    let a0 = select(kept[(n * OWN + c) * 2u], ks[c][j][n ^ pair][0u][place], AGAIN);
                    let a1 = select(kept[(n * OWN + c) * 2u + 1u], ks[c][j][n ^ pair][1u][place], AGAIN);
                    for (var i = 0u; i < TQ; i++) { // unroll
                        dq[i * OWN + c] = fma(vec4<f32>(w[i].y), a1, fma(vec4<f32>(w[i].x), a0, dq[i * OWN + c]));
                    }
                }
            }
        }
    }
    for (var i = 0u; i < TQ; i++) { // unroll
        let t = row + (i ^ turn);
        for (var c = 0u; c < OWN; c++) { // unroll
            let quad = c * TEAM + place;
            if t < p.T && quad < HS4 { dqkv[q0 + t * 3u * c4 + quad] = pack4(dq[i * OWN + c] * p.SCALE); }
        }
    }
}
