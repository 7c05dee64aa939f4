//! Reading usage: every dialect, every format, every split, and what is not usage at all.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod shapes;

use ragmeter::{Flag, Hints, StreamFilter, Unit, Usage, UsageStream, read_usage};
use shapes::{BODIES, STREAMS, all, amazon};

const UNITS: [Unit; 5] = [Unit::Input, Unit::Output, Unit::CacheRead, Unit::CacheWrite, Unit::Reasoning];

fn read(bytes: impl AsRef<[u8]>) -> Option<Usage> {
    read_usage(bytes.as_ref(), &Hints::default())
}

fn counts(usage: Option<&Usage>) -> [i64; 5] {
    UNITS.map(|unit| usage.and_then(|usage| usage.get(unit)).map_or(-1, |count| i64::try_from(count).unwrap()))
}

fn in_pieces(bytes: &[u8], size: usize) -> Option<Usage> {
    let mut stream = UsageStream::new(Hints::default());
    bytes.chunks(size).for_each(|piece| stream.feed(piece));
    stream.finish()
}

#[test]
fn every_shape_reads_as_its_documentation_says() {
    for (text, expected) in BODIES.iter().chain(STREAMS) {
        assert_eq!(counts(read(text).as_ref()), *expected, "{text}");
    }
}

#[test]
fn every_shape_reads_the_same_at_every_split() {
    for shape in all() {
        let whole = read(&shape);
        assert!(whole.is_some());
        for size in 1..40.min(shape.len()) {
            assert_eq!(in_pieces(&shape, size), whole, "{size}: {}", String::from_utf8_lossy(&shape));
        }
    }
}

#[test]
fn amazon_frames_carry_json_or_base64() {
    assert_eq!(counts(read(amazon(&["{}", STREAMS[13].0])).as_ref())[..2], [3, 4]);
    let wrapped = "{\"bytes\":\"eyJ1c2FnZSI6eyJpbnB1dF90b2tlbnMiOjMsIm91dHB1dF90b2tlbnMiOjR9fQ==\"}";
    assert_eq!(counts(read(amazon(&[wrapped])).as_ref())[..2], [3, 4]);
}

#[test]
fn a_damaged_frame_counts_nothing_and_the_others_count() {
    let usage = |input: u64| format!("{{\"usage\":{{\"inputTokens\":{input},\"outputTokens\":1}}}}");
    let frames = [1, 2, 3].map(|input| amazon(&[usage(input).as_str()]));
    let whole = frames.concat();
    assert_eq!(counts(read(&whole).as_ref())[..2], [3, 1]);
    let last = frames[0].len() + frames[1].len();
    // The length, its checksum, the headers, the payload, the checksum of all.
    for place in [0, 2, 9, 14, 60, frames[2].len() - 1] {
        let mut damaged = whole.clone();
        damaged[last + place] ^= 0x11;
        let usage = read(&damaged).unwrap();
        assert_eq!(counts(Some(&usage))[..2], [2, 1], "{place}");
        assert!(usage.flags.has(Flag::Malformed), "{place}");
        for size in 1..40 {
            assert_eq!(in_pieces(&damaged, size).as_ref(), Some(&usage), "{place}, {size}");
        }
        let mut middle = whole.clone();
        middle[frames[0].len() + place] ^= 0x11;
        let usage = read(&middle).unwrap();
        assert_eq!(counts(Some(&usage))[..2], [3, 1], "{place}");
        assert!(usage.flags.has(Flag::Malformed), "{place}");
    }
    let cut = read(&whole[..whole.len() - 2]).unwrap();
    assert!(cut.flags.has(Flag::Truncated) && !cut.flags.has(Flag::Malformed));
}

#[test]
fn who_knows_whether_it_is_a_stream_may_say_so() {
    let read = |text: &str, stream: bool| {
        let hints = Hints { stream: Some(stream), ..Hints::default() };
        let whole = read_usage(text.as_bytes(), &hints);
        for size in 1..20 {
            let mut reader = UsageStream::new(hints);
            text.as_bytes().chunks(size).for_each(|piece| reader.feed(piece));
            assert_eq!(reader.finish(), whole, "{size}: {text}");
        }
        whole
    };
    let (one, two) = ("{\"prompt_eval_count\":1,\"eval_count\":1}", "{\"prompt_eval_count\":2,\"eval_count\":2}");
    let lines = format!("{one}\n{two}\n");
    assert_eq!(counts(read(&lines, true).as_ref())[..2], [2, 2]);
    let body = read(&lines, false).unwrap();
    assert_eq!(counts(Some(&body))[..2], [1, 1]);
    assert!(body.flags.has(Flag::Malformed));
    assert_eq!(read(&format!(" {one}\r\n"), false), read(one, true));

    let events = format!(": keep-alive\n\ndata: {one}\n\n");
    assert_eq!((read(&events, false), counts(read(&events, true).as_ref())[0]), (None, 1));
    let mixed = format!(": keep-alive\n\n{one}\n: keep-alive\n{two}\n");
    assert_eq!((self::read(&mixed), counts(read(&mixed, true).as_ref())[0]), (None, 2));
}

#[test]
fn what_stands_beside_the_counts_is_kept() {
    let usage = read(BODIES[7].0).unwrap();
    let [advisor] = &usage.about().unwrap().others[..] else { panic!("{usage:?}") };
    assert_eq!((advisor.get(Unit::Input), advisor.get(Unit::Output)), (Some(400), Some(20)));
    assert_eq!(advisor.about().unwrap().model.get(), Some("big"));

    let cost = |text| read(text).unwrap().about().unwrap().cost.clone();
    assert_eq!(cost(BODIES[26].0).get(), Some("0.0000012345"));
    assert_eq!(cost(BODIES[28].0).get(), Some("0.00214"));

    let cohere = read(BODIES[18].0).unwrap();
    assert_eq!((cohere.get(Unit::BillableInput), cohere.get(Unit::BillableOutput)), (Some(25), Some(4)));
    assert_eq!(read(BODIES[20].0).unwrap().get(Unit::SearchUnits), Some(1));
    assert_eq!(read(BODIES[9].0).unwrap().get(Unit::InputImage), Some(10));
    assert_eq!(read(BODIES[23].0).unwrap().get(Unit::AudioMilliseconds), Some(1500));
    assert_eq!(read(BODIES[29].0).unwrap().get(Unit::Citation), Some(70));
    assert_eq!(read(BODIES[13].0).unwrap().get(Unit::CacheWrite1h), Some(20));
    let only =
        |text: &str| BODIES.iter().find(|(body, _)| body.contains(text)).and_then(|(body, _)| read(body)).unwrap();
    assert_eq!(only("pages_processed").get(Unit::Pages), Some(3));
    assert_eq!(only("\"duration\"").get(Unit::AudioMilliseconds), Some(9000));
    assert_eq!(only("\"characters\"").get(Unit::Characters), Some(12));
    assert_eq!(only("200000000").about().unwrap().cost.get(), Some("0.02"));
    assert_eq!(only("connector_tokens").get(Unit::ToolPrompt), Some(4000));
    assert_eq!(only("voxtral").get(Unit::InputAudio), Some(1125));
    assert!(!only("voxtral").flags.has(Flag::Gap));
    assert_eq!(read(BODIES[6].0).unwrap().about().unwrap().service_tier.get(), Some("standard"));
    assert_eq!(only("estimated_cost").about().unwrap().cost.get(), Some("0.0000268"));
    assert_eq!(only("diem").about().unwrap().cost.get(), Some("0.00034"));
    assert_eq!(only("document-parse").get(Unit::Pages), Some(7));
    assert_eq!(only("billableCharacterCount\":31").get(Unit::Characters), Some(31));
}

#[test]
fn what_was_heard_counts_once() {
    let (heard, _) = BODIES.iter().find(|(body, _)| body.contains("\"audio_tokens\":375")).unwrap();
    let usage = read(heard).unwrap();
    assert_eq!(usage.get(Unit::InputAudio), Some(375));
    assert!(![Flag::Gap, Flag::Clamped].into_iter().any(|flag| usage.flags.has(flag)));
}

#[test]
fn a_hosted_tool_that_draws_is_a_line_of_its_own() {
    let (body, _) = BODIES.iter().find(|(body, _)| body.contains("image_gen")).unwrap();
    let usage = read(body).unwrap();
    let [drawn] = &usage.about().unwrap().others[..] else { panic!("{usage:?}") };
    assert_eq!(counts(Some(drawn)), [90, 1056, 30, 0, -1]);
    assert_eq!(usage.get(Unit::WebSearches), Some(2));

    let idle = body.replace("\"input_tokens\":90", "\"input_tokens\":0").replace("1056", "0").replace(":30}", ":0}");
    assert!(read(idle).unwrap().about().unwrap().others.is_empty());
}

#[test]
fn speech_counts_up_and_is_told_from_text() {
    let (stream, _) = STREAMS.iter().find(|(stream, _)| stream.contains("usageEvent")).unwrap();
    let usage = read(stream).unwrap();
    let units = [Unit::InputAudio, Unit::InputText, Unit::OutputAudio, Unit::OutputText];
    assert_eq!(units.map(|unit| usage.get(unit)), [Some(30), Some(9), Some(50), Some(4)]);
}

#[test]
fn a_cache_write_that_grew_lives_five_minutes() {
    let usage = read(STREAMS[2].0).unwrap();
    let lives = [Unit::CacheWrite, Unit::CacheWrite1h, Unit::CacheWrite5m].map(|unit| usage.get(unit));
    assert_eq!(lives, [Some(35), Some(30), Some(5)]);
}

#[test]
fn the_providers_total_decides_what_is_added() {
    let read = |total: u64| {
        let details = "\"completion_tokens_details\":{\"reasoning_tokens\":30}";
        read(format!(
            "{{\"usage\":{{\"prompt_tokens\":10,\"completion_tokens\":40,{details},\"total_tokens\":{total}}}}}"
        ))
        .unwrap()
    };
    assert_eq!((read(50).get(Unit::Output), read(50).flags.has(Flag::Gap)), (Some(40), false));
    assert_eq!((read(80).get(Unit::Output), read(80).flags.has(Flag::Gap)), (Some(70), false));
    assert_eq!((read(90).get(Unit::Output), read(90).flags.has(Flag::Gap)), (Some(80), true));
    // Anthropic's names with an inclusive input, as some gateways send them.
    let inclusive =
        r#"{"usage":{"input_tokens":100,"cache_read_input_tokens":60,"output_tokens":5,"total_tokens":105}}"#;
    assert_eq!(counts(self::read(inclusive).as_ref())[..3], [100, 5, 60]);
}

#[test]
fn hints_name_the_provider_and_settle_what_shape_leaves_open() {
    let body =
        br#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":6}}}"#;
    let hinted = read_usage(body, &Hints { provider: Some("xai"), ..Hints::default() }).unwrap();
    assert_eq!(hinted.get(Unit::Output), Some(10));
    assert_eq!(hinted.about().unwrap().provider.get(), Some("x_ai"));
    assert_eq!(read(body).unwrap().get(Unit::Output), Some(4));
}

#[test]
fn headers_count_where_the_body_does_not() {
    let with_header = |body: &str| {
        let mut stream = UsageStream::new(Hints::default());
        stream.header("X-Amzn-Bedrock-Input-Token-Count", "4");
        stream.feed(body.as_bytes());
        counts(stream.finish().as_ref())[..2].to_vec()
    };
    assert_eq!(with_header("{\"embeddings\":[[0.1]]}"), [4, 0]);
    assert_eq!(with_header("{\"usage\":{\"input_tokens\":9,\"output_tokens\":2}}"), [9, 2]);
}

#[test]
fn json_reads_as_pythons_json_does() {
    let twice = r#"{"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":1}},"usage":{"completion_tokens":2,"prompt_tokens":3}}"#;
    assert_eq!(counts(read(twice).as_ref()), [3, 2, -1, -1, -1]);
    assert_eq!(read(r#"{"usage":{"prompt_tokens":1},"usage":null}"#), None);
    let escaped = r#"{"us\u0061ge":{"prompt\u005ftokens":5,"completion_tokens":"6"},"model":"a\"\ud83d\ude00"}"#;
    assert_eq!(counts(read(escaped).as_ref())[..2], [5, 6]);
    assert_eq!(read(escaped).unwrap().about().unwrap().model.get(), Some("a\"😀"));
}

#[test]
fn counts_that_are_none_are_left_out_and_flagged() {
    for bad in ["-1", "1.5", "true", "NaN", "\"x\"", "{}", "[1]", "18446744073709551616", "1e40", "\"-3\""] {
        let usage = read(format!("{{\"usage\":{{\"prompt_tokens\":{bad},\"completion_tokens\":2}}}}")).unwrap();
        assert_eq!((usage.get(Unit::Input), usage.get(Unit::Output)), (None, Some(2)), "{bad}");
        assert!(usage.flags.has(Flag::Malformed), "{bad}");
    }
    for (good, count) in [("12.0", 12), ("1e3", 1000), ("\" 7 \"", 7), ("18446744073709551615", u64::MAX)] {
        let usage = read(format!("{{\"usage\":{{\"prompt_tokens\":{good}}}}}")).unwrap();
        assert_eq!((usage.get(Unit::Input), usage.flags.has(Flag::Malformed)), (Some(count), false), "{good}");
    }
    let null = read(r#"{"usage":{"prompt_tokens":null,"completion_tokens":2}}"#).unwrap();
    assert_eq!((null.get(Unit::Input), null.flags.has(Flag::Malformed)), (None, false));
}

#[test]
fn a_subset_above_its_total_is_cut_and_flagged() {
    let usage =
        read(r#"{"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}"#);
    let usage = usage.unwrap();
    assert_eq!(usage.get(Unit::CacheRead), Some(5));
    assert!(usage.flags.has(Flag::Clamped));
}

#[test]
fn a_body_that_is_cut_says_what_it_said() {
    let text = r#"{"usage":{"prompt_tokens":12,"completion_tokens":34},"choices":[{"message":"#;
    let usage = read(text).unwrap();
    assert_eq!(counts(Some(&usage))[..2], [12, 34]);
    assert!(usage.flags.has(Flag::Truncated));
    // A number at the very end may have lost its last digits.
    assert_eq!(counts(read(r#"{"usage":{"prompt_tokens":12,"completion_tokens":3"#).as_ref())[..2], [12, -1]);
}

#[test]
fn what_is_broken_is_flagged_and_the_rest_is_read() {
    let broken = read(r#"{"usage":{"prompt_tokens":12,"completion_tokens":34},,}"#).unwrap();
    assert!(broken.flags.has(Flag::Malformed));
    let lines = "{\"prompt_eval_count\":1,}\n{\"prompt_eval_count\":2,\"eval_count\":3}\n";
    assert_eq!(counts(read(lines).as_ref())[..2], [2, 3]);
    let events = "data: {oops\n\ndata: {\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n";
    assert_eq!(counts(read(events).as_ref())[..2], [2, 3]);
}

#[test]
fn white_space_is_what_json_says() {
    let body = BODIES[0].0;
    let [blank, other] = ["\r\n\t ", "\x0c"].map(|behind| format!("{body}{behind}"));
    assert_eq!(read(&blank), read(body));
    let other = read(&other).unwrap();
    assert_eq!((counts(Some(&other)), other.flags.has(Flag::Malformed)), (BODIES[0].1, true));
}

#[test]
fn nothing_is_made_of_nothing() {
    for text in
        ["", " ", "null", "[]", "{}", "12", "\"usage\"", "<html>", "data: [DONE]\n\n", "{\"usage\":{}}", "\0\0\0"]
    {
        assert_eq!(read(text), None, "{text}");
    }
    for text in [
        r#"{"usage":{"readUnits":5}}"#,
        r#"{"usage":{"topicPolicyUnits":1}}"#,
        r#"{"name":"cachedContents/x","usageMetadata":{"totalTokenCount":3512}}"#,
        r#"{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":5}}"}}]}"#,
        r#"{"metadata":{"usage":"prompt_tokens"}}"#,
        r#"{"usage":{"cost":0,"seconds":null}}"#,
        r#"{"id":"p","status":"succeeded","metrics":{"predict_time":1.2}}"#,
        r#"{"error":{"message":"x","type":"invalid_request_error"}}"#,
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn nesting_costs_no_stack() {
    let deep = format!("{{\"x\":{}1{},{}", "[".repeat(1_000_000), "]".repeat(1_000_000), &BODIES[0].0[1..]);
    assert_eq!(counts(read(deep).as_ref()), BODIES[0].1);
    let deep = format!("{}{}", "{\"response\":".repeat(100_000), BODIES[0].0);
    assert_eq!(read(deep).map(|usage| usage.get(Unit::Input)), None);
}

#[test]
fn delivered_text_is_kept_only_on_demand() {
    let mut plain = UsageStream::new(Hints::default());
    let mut keeping = UsageStream::new(Hints::default()).keeping_text();
    for piece in STREAMS[0].0.as_bytes().chunks(3) {
        plain.feed(piece);
        keeping.feed(piece);
    }
    assert_eq!((plain.text(), keeping.text()), (None, Some("Grüße \"")));
    let mut calls = UsageStream::new(Hints::default()).keeping_text();
    calls.feed(b"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]}}]}\n\n");
    calls.feed(
        b"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}}]}\n\n",
    );
    assert_eq!(calls.text(), Some("{\"a\":1}"));
}

#[test]
fn the_end_is_seen() {
    for (text, done) in [
        ("data: {\"choices\":[]}\n\n", false),
        ("data: {\"choices\":[]}\n\ndata: [DONE]\n\n", true),
        ("data: {\"type\":\"response.failed\",\"response\":{}}\n\n", true),
        ("data: {\"type\":\"message_stop\"}\n\n", true),
        ("{\"model\":\"m\",\"done\":true}\n", true),
        ("{\"model\":\"m\",\"done\":false}\n", false),
    ] {
        let mut stream = UsageStream::new(Hints::default());
        text.as_bytes().chunks(2).for_each(|piece| stream.feed(piece));
        assert_eq!(stream.done(), done, "{text}");
    }
}

#[test]
fn the_filter_keeps_every_other_byte() {
    for (asked, plain) in [
        ("data: {\"a\":1,\"usage\":null}\n\n", "data: {\"a\":1}\n\n"),
        ("data: {\"usage\": null, \"a\": 1}\n\n", "data: {\"a\": 1}\n\n"),
        ("data: {\"a\": 1, \"usage\": null, \"b\": 2}\r\n\r\n", "data: {\"a\": 1, \"b\": 2}\r\n\r\n"),
        ("id: 1\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n", "data: [DONE]\n\n"),
        // These are the provider's own and stay.
        (
            "data: {\"choices\":[{\"x\":\"usage\"}],\"usage\":{}}\n\n",
            "data: {\"choices\":[{\"x\":\"usage\"}],\"usage\":{}}\n\n",
        ),
        (
            "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
            "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        ),
        ("data: {\"a\":{\"usage\":null}}\n\n", "data: {\"a\":{\"usage\":null}}\n\n"),
        ("data: {\"a\":\"\\\"usage\\\":null\"}\n\n", "data: {\"a\":\"\\\"usage\\\":null\"}\n\n"),
        ("data: {\"usage\":null\n\n", "data: {\"usage\":null\n\n"),
        (": ping\n\nnot an event", ": ping\n\nnot an event"),
    ] {
        for size in 1..=asked.len() {
            let mut filter = StreamFilter::new(true, false);
            let mut seen: Vec<u8> = asked.as_bytes().chunks(size).flat_map(|piece| filter.feed(piece)).collect();
            seen.extend(filter.finish());
            assert_eq!(String::from_utf8(seen).unwrap(), plain, "{size}");
        }
    }
}
