package isa

import (
	"math"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// lines repeats an instruction.
func lines(n int, instruction string) string { return strings.Repeat("\t"+instruction+" ; 0000\n", n) }

// kernelDump is what RADV prints about a kernel whose main loop (BB2 to BB8) stores tiles behind a branch (BB3), and
// multiplies in an inner loop (BB5 to BB7).
func kernelDump(fmas int) string {
	return "MESA: other words\ndisasm:\nBB0:\n" + lines(9, "v_mov_b32_e32 v2, 0") +
		"BB1:\n" + lines(1, "ds_write_b128 v3, v[4:7]") + lines(1, "s_cbranch_scc0 BB1") + // clearing
		"BB2:\n" + lines(2, "v_add_u32_e32 v1, 1, v1") + lines(1, "s_cbranch_execz BB4") +
		"BB3:\n" + lines(6, "v_mul_lo_u32 v1, v2, v3") + lines(2, "buffer_load_dwordx4 v[4:7], v1, s[0:3], 0 offen") +
		lines(4, "ds_store_b128 v3, v[4:7]") +
		"BB4:\n" + lines(1, "s_barrier") +
		"BB5:\n" + lines(2, "ds_load_b128 v[8:11], v3 offset:16") + lines(1, "ds_read2_b32 v[8:9], v3 offset1:4") +
		lines(1, "v_exp_f32_e32 v1, v1") + lines(1, "v_fma_f32 v1, v2, v3, v1") +
		"\t(then repeated " + string(rune('0'+fmas-1)) + " times)\n" + lines(1, "s_cbranch_execz BB7") +
		// Rescaling.
		"BB6:\n" + lines(1, "ds_read_b32 v1, v2") + lines(16, "v_mul_f32_e32 v1, v2, v1") +
		"BB7:\n" + lines(1, "s_cbranch_vccnz BB5") +
		"BB8:\n" + lines(1, "s_branch BB2") + "BB9:\n" + lines(1, "s_endpgm") +
		"*** SHADER STATS ***\nSGPRs: 128\nVGPRs: 96\nSpilled SGPRs: 1\nSpilled VGPRs: 2\nCode size: 1234\n" +
		"LDS size: 8704\nSubgroups per SIMD: 10\n********************\n"
}

func TestParse(t *testing.T) {
	// A turn: 128 threads need 16 multiply-adds each, so BB5 with 7 runs twice; the tiles are 4096 bytes, half of what
	// BB3 stores if both waves run it.
	text := Text{Text: wgsl.Text{Label: "k", Threads: 128}, MACs: 128 * 16, Staged: 4096}
	for _, c := range []struct {
		family         string
		waves          int
		fma, valu, lds float64
	}{
		// VALU: 2 + half of 6 products + twice (an exponential and 7 multiply-adds); LDS: half of 4 stores + twice
		// (2 reads of 16 bytes a thread, and one of 8).
		{"raven", 10, 16, 2 + 0.5*6*4 + 2*(4+7), 0.5*4*8 + 2*(2*8+4)},
		{"navi21", 5, 16, 2 + 0.5*6*4 + 2*(4+7), 0.5*4*8 + 2*(2*8+4)},
		{"navi31", 5, 8, 2 + 0.5*6*4 + 2*(4+3.5), 0.5*4*8 + 2*(2*8+4)},
	} {
		all, err := parse([]string{kernelDump(7)}, c.family, []Text{text})
		if err != nil {
			t.Fatal(err)
		}
		k := all[0]
		if k.VGPRs != 96 || k.Spills != 3 || k.LDS != 8704 || k.Code != 1234 || k.Waves != c.waves {
			t.Errorf("%s: statistics are %+v", c.family, k)
		}
		if k.FMA != c.fma || k.VALU != c.valu || k.LDSTime != c.lds || k.FMAShare != 7./8 {
			t.Errorf("%s: %v / max(%v, %v), share %v, want %v / max(%v, %v), 0.875", c.family, k.FMA, k.VALU, k.LDSTime,
				k.FMAShare, c.fma, c.valu, c.lds)
		}
		if want := c.fma / max(c.valu, c.lds); math.Abs(k.Bound-want) > 1e-12 {
			t.Errorf("%s: bound %v, want %v", c.family, k.Bound, want)
		}
	}
	text.MACs = -1 // as the code has: each loop once
	if all, err := parse([]string{kernelDump(7)}, "raven", []Text{text}); err != nil || all[0].FMA != 7 {
		t.Errorf("%+v, %v: want 7 multiply-adds", all, err)
	}
	text.MACs = 0
	all, err := parse([]string{kernelDump(7)}, "raven", []Text{text})
	if err != nil || all[0].Bound != 0 || all[0].FMAShare == 0 {
		t.Errorf("%+v, %v: want a share and no bound", all, err)
	}
}

func TestParseRefuses(t *testing.T) {
	text := Text{Text: wgsl.Text{Label: "the kernel", Threads: 64}}
	const want = "the kernel on raven: no disassembly"
	_, err := parse([]string{"no assembly"}, "raven", []Text{text})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := divide("words before\n"+mark+"0\na\n"+mark+"1\nb", 3); err == nil ||
		err.Error() != "2 kernels printed, want 3" {
		t.Errorf("two of three texts: %v", err)
	}
	if _, err := parse([]string{""}, "tgl", []Text{text}); err == nil {
		t.Error("a kernel of which ANV said nothing was read")
	}
}

func TestParseIntel(t *testing.T) {
	const body = `   START B0 (40 cycles)
mov(8)          g46<1>UD        0x00000000UD                    { align1 WE_all 1Q };
   END B0 ->B1
   START B1 <-B0 <-B1 (100 cycles)
mad(8)          g9<1>F          g9<8,8,1>F      g1<8,8,1>F       g2<8,8,1>F { align1 1Q };
(+f0.0) mad(8)  g9<1>F          g9<8,8,1>F      g1<8,8,1>F       g2<8,8,1>F { align1 1Q };
mad.sat(8)      g9<1>F          g9<8,8,1>F      g1<8,8,1>F       g2<8,8,1>F { align1 1Q };
send(8)         nullUD          g47UD           g25UD           0x020260fe                0x00000100
                            dp data 1 MsgDesc: (DC untyped surface write, Surface = 254) { align1 1Q @1 $0 };
while(8)        JIP:  LABEL1                                    { align1 1Q };
   END B1 ->B1
`
	stats := func(simd, spills string) string {
		return "SIMD" + simd + " shader: 1941 instructions. 4 loops. 809878 cycles. " + spills +
			" spills:fills, 76 sends, scheduled with mode lifo.\n" + body
	}
	all, err := parse([]string{stats("8", "0:0") + stats("16", "32:118")}, "tgl",
		[]Text{{Text: wgsl.Text{Label: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := Kernel{Label: "k", SIMD: 16, Spills: 32, Fills: 118, Instructions: 1941, Cycles: 809878, FMAShare: 3. / 5}
	if all[0] != want {
		t.Errorf("got %+v\nwant %+v", all[0], want)
	}
}

func TestGuards(t *testing.T) {
	var g Guards
	g.count(`define void @main_() {
  br i1 %2, label %3, label %6

3:                                                ; preds = %1
  %4 = getelementptr inbounds %struct.x, ptr addrspace(3) %0, i32 0, i32 %1
  %5 = load <4 x float>, ptr addrspace(3) %4, align 16
  br label %6

6:                                                ; preds = %3, %1
  %7 = phi <4 x float> [ %5, %3 ], [ zeroinitializer, %1 ]
  %8 = load <4 x float>, ptr addrspace(3) %4, align 16
  %9 = call float @llvm.fma.f32(float %a, float %b, float %c)
  ret void
}
`)
	if g.Guarded != 1 || g.Reads != 2 || g.FMAs != 1 {
		t.Errorf("%+v, want one guarded of two reads, and one multiply-add", g)
	}
}

// TestPlain: naga's entry point becomes a function with pointers, without the clearing of workgroup memory.
func TestPlain(t *testing.T) {
	const msl = `using metal::uint;
constant uint WX = 16u;
struct type_3 {
    metal::float4 inner[8];
};

kernel void main_(
  metal::uint3 lid [[thread_position_in_threadgroup]]
, uint li [[thread_index_in_threadgroup]]
, device type_1 const& a [[buffer(1)]]
, threadgroup type_3& ta
, constant _mslBufferSizes& _buffer_sizes [[buffer(7)]]
) {
    if (metal::all(lid == metal::uint3(0u))) {
        ta = {};
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    return metal::float4(1.0);
}
`
	got, err := plain(msl)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"static const uint WX", "kernel void main_(device type_1 const *__restrict a_p, ",
		"threadgroup type_3 *__restrict ta_p", "threadgroup type_3& ta = *ta_p;", "return metal::mk_float4(1.0);",
		"metal::uint3 lid{__builtin_amdgcn_workitem_id_x(), ", "constant _mslBufferSizes& _buffer_sizes = *",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "barrier") {
		t.Errorf("workgroup memory is still cleared:\n%s", got)
	}
	if _, err := plain(strings.Replace(msl, "index_in_threadgroup", "index_in_simdgroup", 1)); err == nil {
		t.Error("an unknown input was taken")
	}
}
