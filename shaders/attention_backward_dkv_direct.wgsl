// attention_backward_dkv_direct: the keys' and values' gradients. For one batch row and head, with
// s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS), p[t,u] = exp(s[t,u] - lse[t]) for t >= u and attention_backward_d's d:
//
//   dv[u,i] = sum_t p[t,u] * dout[t,i]
//   ds[t,u] = p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t])
//   dk[u,i] = sum_t ds[t,u] * q[t,i] / sqrt(HS)
//
// out: dqkv (N,3C), the keys' and values' columns      in: dout (N,C)  qkv (N,3C)  lse (B,NH,T)  d (B,NH,T)
// dispatch: x: ceil(T / (WX*TK)) groups, y: B*NH.  HS = C/NH, a multiple of 4.
//
// As attention_forward_direct, with keys for queries: k, v, dk and dv of TK keys in registers.
//
// uses: store attention_gradients

const HS: u32 = 64u; // spec: channels a head
const TK: u32 = 4u; // spec: keys a thread
const WX: u32 = 8u; // spec: threads
const HS4: u32 = HS / 4u;
const LAST: u32 = HS4 - 1u;
const QUADS: u32 = TK * HS4;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_id) lid: vec3<u32>) {
    let first = wid.x * WX * TK;
    let row = first + lid.x * TK;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let hs4 = HS4 * nwg.z; // no constant: a loop to its end is not unrolled
    let o0 = batch * c4 + wid.y % p.NH * HS4;
    let q0 = batch * 3u * c4 + wid.y % p.NH * HS4;
    let k0 = q0 + c4;
    var k: array<vec4<f32>, QUADS>;
    var v: array<vec4<f32>, QUADS>;
    for (var n = 0u; n < hs4; n++) {
        for (var i = 0u; i < TK; i++) { // unroll
            let at = k0 + min(row + i, p.T - 1u) * 3u * c4 + n;
            for (var c = 0u; c < LAST; c++) { // unroll
                k[i * HS4 + c] = k[i * HS4 + c + 1u];
                v[i * HS4 + c] = v[i * HS4 + c + 1u];
            }
            k[i * HS4 + LAST] = unpack4(qkv[at]) * p.SCALE;
            v[i * HS4 + LAST] = unpack4(qkv[at + c4]);
        }
    }
    var dk: array<vec4<f32>, QUADS>;
    var dv: array<vec4<f32>, QUADS>;
    for (var t = first; t < p.T; t++) {
        var q: array<vec4<f32>, HS4>;
        var g: array<vec4<f32>, HS4>; // dout
        var s = array<f32, TK>(); // naga 0.19 zeroes a plain declaration once, not each turn
        var dp = array<f32, TK>();
        for (var c = 0u; c < HS4; c++) { // unroll
            q[c] = unpack4(qkv[q0 + t * 3u * c4 + c]);
            g[c] = unpack4(dout[o0 + t * c4 + c]);
            for (var i = 0u; i < TK; i++) { // unroll
                s[i] = fma(k[i * HS4 + c].w, q[c].w, fma(k[i * HS4 + c].z, q[c].z,
                    fma(k[i * HS4 + c].y, q[c].y, fma(k[i * HS4 + c].x, q[c].x, s[i]))));
                dp[i] = fma(v[i * HS4 + c].w, g[c].w, fma(v[i * HS4 + c].z, g[c].z,
                    fma(v[i * HS4 + c].y, g[c].y, fma(v[i * HS4 + c].x, g[c].x, dp[i]))));
            }
        }
        let l = lse[wid.y * p.T + t];
        let sum = d[wid.y * p.T + t];
        for (var i = 0u; i < TK; i++) { // unroll
            let pr = select(0.0, exp(min(s[i] - l, 0.0)), row + i <= t);
            let ds = pr * (dp[i] - sum);
            for (var c = 0u; c < HS4; c++) { // unroll
                dk[i * HS4 + c] = fma(vec4<f32>(ds), q[c], dk[i * HS4 + c]);
                dv[i * HS4 + c] = fma(vec4<f32>(pr), g[c], dv[i * HS4 + c]);
            }
        }
    }
    for (var n = 0u; n < hs4; n++) {
        for (var i = 0u; i < TK; i++) { // unroll
            let at = k0 + (row + i) * 3u * c4 + n;
            if row + i < p.T {
                dqkv[at] = pack4(dk[i * HS4] * p.SCALE);
                dqkv[at + c4] = pack4(dv[i * HS4]);
            }
            for (var c = 0u; c < LAST; c++) { // unroll
                dk[i * HS4 + c] = dk[i * HS4 + c + 1u];
                dv[i * HS4 + c] = dv[i * HS4 + c + 1u];
            }
        }
    }
}
