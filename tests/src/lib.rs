//! One set of tests over HTTP, run against every host.
//!
//! Every answer of a host is compared, byte for byte, with the answer of core beside a store that is a map
//! ([`mod@reference`]), for the same request with the same stamp. What else a case expects is written in the case, so
//! that core is tested as well. A host is `isotherm up … --control` with the artifacts of the set `test`, which take
//! the stamp from a header.
//!
//! `conformance!(Native);` in a test file makes a `#[test]` of every case, for that platform.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics to fail")]

pub mod cases;
pub mod client;
pub mod fixture;
pub mod reference;

/// Makes a `#[test]` of every case for one platform.
#[macro_export]
macro_rules! conformance {
    ($platform:ident) => {
        $crate::conformance! { $platform:
            routes { every_route_answers, other_methods_are_refused, unknown_routes_are_refused, heads_are_answered_without_bodies, the_contract_is_served, the_same_raw_bytes_mean_the_same }
            events {
                every_vector_is_answered_to_the_byte, an_event_is_found_again, the_three_basic_checks,
                the_same_event_again_is_a_duplicate, other_content_is_a_conflict, unicode_and_big_integers_survive,
            }
            batches { each_kind_of_result, repetitions_within_a_batch, all_shards_take_part, ndjson_and_gzip }
            limits { a_body_has_1_mib, an_event_has_32_kib, a_batch_has_1000_events, names_depth_and_properties }
            access {
                keys_open_what_their_scope_says, tenants_do_not_see_each_other, without_a_whole_configuration_nothing_is_open,
                limits_say_when_to_come_again, tokens_take_the_place_of_keys, the_schedule_asks_for_an_operator, repeated_headers_are_one_value, the_head_is_looked_at_first,
            }
            bodies {
                wrong_content_types_are_refused, gzip_bombs_are_refused, truncated_bodies_change_nothing,
                slow_bodies_hold_up_nobody,
            }
            clients {
                every_client_is_answered_to_the_byte, a_page_asks_first, little_is_read_for_an_unknown_sender,
                schemas_and_bots_are_looked_at, the_check_for_client_authors_finds_nothing,
            }
            moves {
                data_leave_for_another_service_and_come_back, a_raw_backup_comes_back_anywhere,
                a_frozen_tenant_takes_nothing_and_leaves,
            }
            bounds { names_without_end_hold_up_nobody }
            concurrency { one_of_a_hundred_writers_is_accepted, batches_that_overlap_keep_each_event_once }
            watching { a_request_is_followed, a_key_is_in_no_line, metrics_ask_for_an_operator }
            store { a_store_that_does_not_answer_loses_nothing }
            reports {
                the_flights_give_the_exact_answers, every_report_is_answered_to_the_byte, a_report_of_many_bytes_comes_in_parts, reports_need_the_scope_read,
                a_kill_while_folding_counts_nothing_twice,
            }
            sdks { servers_deliver_once, pages_deliver_once, cloudevents_of_rust_arrive_once }
            dashboard { a_browser_shows_the_flights }
            lifetime {
                what_was_accepted_survives_a_kill, nothing_is_left_behind, a_release_takes_no_stamp_from_a_header,
                an_event_that_has_expired_is_there_no_more, an_event_is_kept_for_as_long_as_its_type,
            }
        }
    };
    ($platform:ident: $($module:ident { $($case:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                $crate::cases::$module::$case(isotherm_hosts::Platform::$platform);
            })*
        })*
    };
}
