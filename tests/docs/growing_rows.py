"""What executes each row of the tables in docs/growing.md, or the words by which the row says that nothing does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """Of one row. One with neither has no place here."""

    by: tuple[str, ...]
    """Tests by their node ids, `make` with its arguments, or words of .ci/run."""
    unrun: str
    """Words of the row that say what was not executed."""


def row(*by: str, unrun: str = "") -> Entry:
    return Entry(by, unrun)


GGUF = "tests/rlhf/training/artefacts/test_gguf_families.py"
FOLDERS = "tests/rlhf/training/artefacts/test_folders.py"
HUB = "tests/rlhf/training/artefacts/test_hub.py"
LIBRARY = "tests/rlhf/training/model/library/test_families.py"
CHOICE = "tests/rlhf/training/model/test_choice.py"
POOL = "tests/chat/engines/test_server_pool.py"
SERVERS = "tests/chat/talker/test_model_servers.py"
WEB = "tests/config/test_web_server.py"
CHOSEN = "tests/chat/choosing/test_chosen_replies.py"
CANDIDATES = "tests/chat/choosing/test_candidate_pages.py"
ADAPTERS = 'make bench ARGS="adapters"'
BESIDE = "tests/test_adapter_bench.py::test_adapters_beside_their_base_say_what_the_whole_policies_say"
VLLM = 'make bench ARGS="vllm"'
PROFILES = (
    "tests/config/test_training_profiles.py::test_the_profile_of_a_cpu_is_what_the_training_does_by_itself",
    "tests/config/test_training_profiles.py::test_each_profile_can_be_trained_by",
    "tests/rlhf/runs/test_profile_of_a_run.py::test_a_run_takes_the_profile_s_defaults_where_it_was_given_none",
)
LAUNCH = "tests/rlhf/training/test_launch.py"
LAUNCHERS = "tests/rlhf/runs/test_launchers.py"
PROCESSES = "tests/rlhf/training/test_two_processes.py"
SAMPLER = "tests/rlhf/training/rollouts/test_server_sampler.py"
SERVED = "tests/rlhf/training/policy/test_served_peers.py"
ROLLOUTS = 'make bench ARGS="rollouts"'
TINKER = "tests/rlhf/training/tinker/test_by_tinker.py"
TINKER_BENCH = 'make bench ARGS="tinker"'
TINKER_FIT = "tests/rlhf/runs/test_tinker_server.py"
RAY = "tests/rlhf/runs/test_ray.py"
REAL_RAY = "tests/rlhf/runs/test_real_ray.py"

ROWS: dict[str, dict[str, Entry]] = {
    "What has run": {
        "many people at the same time": row("DATABASE_URL=postgres://", 'make bench ARGS="load"'),
        "socket events, limits and cache outside the web process": row(
            "REDIS_URL=redis://", "tests/base/test_shared_cache.py::test_limits_hold_while_redis_is_away"
        ),
        "RLOO and GRPO by a Tinker server": row(TINKER_BENCH, unrun="never on a GPU, never a whole cycle"),
        "PPO whose completions vLLM samples": row(ROLLOUTS, unrun="never on a GPU, never on several machines"),
        "several web processes": row(
            "tests/config/test_two_web_processes.py::test_what_is_said_at_one_is_read_at_the_other_while_it_is_written",
            "tests/config/test_two_web_processes.py::test_a_limit_on_messages_counts_those_at_both",
            unrun="on several machines they have not been run",
        ),
        "processes and services that fail": row('make bench ARGS="kills"'),
        "a broker for tasks": row("CELERY_BROKER_URL=amqp://", unrun="on one machine"),
        "PgBouncer": row(
            "tests/postgresql/test_pooler.py::test_several_replies_stream_at_once_and_end", unrun="on one machine"
        ),
        "Redis that fails over": row(
            "tests/config/test_services.py::test_cache_and_channel_layer_go_on_with_the_new_master_after_a_failover",
            "tests/config/test_services.py::test_celery_finds_the_master_by_its_sentinels",
        ),
        "queues on several nodes of RabbitMQ": row(
            "tests/config/test_services.py::test_a_quorum_queue_is_one_and_tasks_pass_through_it",
            unrun="a cluster has not been run",
        ),
        "another model": row(
            "make demo",
            "tests/test_family_loops.py::test_the_loop_closes",
            f"{FOLDERS}::test_every_family_is_fetched_as_it_is",
            "tests/chat/engines/test_families.py::test_greedy_replies_that_share_a_batch_are_those_of_generate",
            "tests/rlhf/training/artefacts/test_fetch.py::test_a_gguf_file_becomes_a_policy",
            "tests/rlhf/training/artefacts/test_fetch.py::test_a_wheel_is_taken_alone_and_only_once",
        ),
        "hosts without a shared directory": row(
            "tests/config/test_two_hosts.py::test_what_one_host_makes_another_serves_and_evaluates",
            "tests/config/test_two_hosts.py::"
            "test_what_was_damaged_on_its_way_is_refused_and_the_former_policy_goes_on",
            "tests/base/test_shared_s3.py::test_a_directory_goes_through_the_bucket_with_its_list_last",
            unrun="no real S3 or MinIO has been used",
        ),
        "a server that speaks OpenAI's API": row(
            "tests/chat/engines/test_real_servers.py::test_the_text_is_the_models_and_the_end_has_its_counts",
            "tests/chat/engines/test_real_servers.py::test_a_server_that_dies_in_the_middle_is_down",
        ),
        "several vLLM servers, which get the policies by themselves": row(
            VLLM, unrun="never on a GPU, never on several machines"
        ),
    },
    "Written, but never run where it is meant for": {
        "one GPU for replies": row(
            "tests/chat/engines/test_transformers.py::test_the_engine_serves_refuses_and_lets_go",
            unrun="it has not been run on a GPU",
        ),
        "SGLang": row(unrun="has not been run behind it"),
        "a web host without a talker": row(
            "tests/chat/talker/test_engine_pool.py::test_another_host_reaches_an_engine_that_listens_beyond_its_own",
            unrun="Tested with a second address of one machine",
        ),
        "RLOO and GRPO whose completions vLLM samples": row(
            f"{SERVED}::test_a_server_samples_each_step_with_the_adapter_of_the_step",
            unrun="a real vLLM has not sampled for them",
        ),
        "workers or talkers on other machines": row(
            "tests/config/test_two_hosts.py::test_what_one_host_makes_another_serves_and_evaluates",
            "tests/config/test_scheduler.py::test_another_takes_over_and_sends_nothing_twice",
            'make bench ARGS="kills"',
            unrun="two machines have not",
        ),
        "a fine-tune on a GPU": row(
            "tests/rlhf/training/test_other_devices.py::test_a_fine_tune", unrun="it has not been run there"
        ),
        "a base of 8 or 4 bits in training": row(
            "tests/rlhf/runs/test_requirements.py::test_few_bits_need_their_package_and_a_way_that_keeps_the_adapter_whole",
            unrun="nothing on a card",
        ),
        "the internet": row(unrun="No proxy is part of the tests"),
    },
    "Models of other families": {
        "tested": row(
            f"{FOLDERS}::test_every_family_is_fetched_as_it_is",
            "tests/rlhf/training/artefacts/test_sentencepiece.py::test_its_tokens_are_those_of_sentencepiece",
            unrun="No checkpoint of theirs was at hand but SmolLM2",
        ),
        "engine": row(
            f"{GGUF}::test_llama_cpp_finds_what_transformers_finds",
            f"{GGUF}::test_the_distance_of_a_coarse_file_is_that_of_what_llama_cpp_says",
            "tests/chat/engines/test_embedded.py::"
            "test_a_policy_with_a_gguf_file_is_served_by_llama_cpp_and_one_without_by_transformers",
            "tests/chat/engines/test_embedded.py::test_the_page_of_a_policy_names_its_engine",
            "tests/config/test_doctor.py::test_it_says_which_engine_the_live_policy_answers_by",
        ),
        "transformers on a CPU": row(
            "tests/chat/engines/test_families.py::test_greedy_replies_that_share_a_batch_are_those_of_generate",
            "tests/chat/engines/test_families.py::test_told_log_probs_are_those_of_transformers_past_every_window",
        ),
        "instructions": row(
            "tests/base/test_system_turns.py::test_instructions_lead_the_first_question",
            "tests/chat/prompts/test_families.py::test_what_is_trained_on_is_what_is_served",
        ),
        "reasoning": row("tests/chat/prompts/test_families.py::test_reasoning_is_left_on_where_the_site_says_so"),
        "ends": row(
            "tests/chat/engines/test_families.py::test_every_end_of_the_family_ends_a_reply_and_none_fills_rows",
            "tests/chat/prompts/test_families.py::"
            "test_a_reply_is_learnt_with_the_end_of_its_turn_and_padded_with_none",
        ),
        "tokenizers": row(
            "tests/rlhf/training/artefacts/test_sentencepiece.py::test_its_tokens_are_those_of_sentencepiece"
        ),
        "the hub": row(
            f"{HUB}::test_a_mirror_gives_the_weights_that_its_index_names_and_nothing_that_could_run",
            f"{HUB}::test_a_gated_model_opens_to_the_token_of_whoever_may_read_it",
        ),
        "memory": row("tests/rlhf/runs/test_memory.py::test_a_cycle_that_would_not_fit_is_refused_with_the_figures"),
    },
    "Which models are trained, and by what": {
        "models": row(
            "tests/rlhf/training/model/test_transformer.py::test_other_architectures_are_refused_by_name",
            f"{LIBRARY}::test_log_probs_are_those_of_transformers",
        ),
        "chosen by `auto`": row(
            f"{CHOICE}::test_our_llama_computes_llamas_on_a_cpu_and_transformers_all_else",
        ),
        "residual stream": row(
            "tests/rlhf/training/model/test_transformer.py::test_bf16_keeps_an_fp32_residual_stream"
        ),
        "fine-tunes": row(
            "tests/rlhf/training/fine_tuning/test_stage.py::test_each_scope_ends_in_a_whole_policy",
            "tests/rlhf/training/fine_tuning/test_stage.py::test_what_cannot_be_is_refused_by_its_name",
        ),
        "PPO on SmolLM2-135M, one thread, beside other work, twice": row("make bench-ppo"),
    },
    "Whole policies or adapters in llama.cpp": {
        "whole, in two engines with 16 places each": row(ADAPTERS),
        "whole, in two engines with 8 places each": row(ADAPTERS),
        "adapters beside their base, in one engine with 16 places": row(ADAPTERS, BESIDE),
        "adapters beside their base, in one engine with 32 places": row(ADAPTERS, BESIDE),
    },
    "Model servers": {
        "a policy gets to a server": row(
            f"{POOL}::test_a_policy_is_put_on_every_server_once_and_answers_under_its_name",
            f"{POOL}::test_the_path_is_the_one_that_the_server_sees",
            f"{POOL}::test_an_adapter_that_was_changed_on_disk_is_put_nowhere",
            f"{POOL}::test_the_base_is_a_name_that_the_server_lists",
        ),
        "when it answers there": row(
            f"{POOL}::test_one_server_is_enough_and_the_other_gets_the_policy_when_it_comes"
        ),
        "who wrote a reply": row(f"{POOL}::test_what_another_model_writes_is_shown_nobody"),
        "which server": row(f"{POOL}::test_streams_go_where_there_are_fewest"),
        "promotion": row(f"{SERVERS}::test_promotion_and_rollback_under_streams_reload_nothing", VLLM),
        "rollback": row(f"{SERVERS}::test_promotion_and_rollback_under_streams_reload_nothing", VLLM),
        "a policy whose weights were removed": row(
            f"{SERVERS}::test_a_policy_that_was_retired_is_taken_off_and_no_other"
        ),
        "a server dies": row(
            f"{SERVERS}::test_a_killed_server_takes_its_streams_alone_and_each_has_its_end",
            f"{SERVERS}::test_restarted_servers_get_the_adapters_again_and_serve",
            f"{POOL}::test_a_silent_server_is_given_up_with_the_streams_that_wait_for_it",
            f"{POOL}::test_a_server_whose_engine_is_dead_gets_no_stream_though_it_lists_the_policy",
        ),
        "what admins see": row(
            "tests/chat/test_site_choices.py::"
            "test_an_admin_sees_each_model_server_with_what_it_holds_and_what_it_refused"
        ),
        "from the live row until new replies go to the policy": row(VLLM),
        "from there to the first token of a person who asks": row(VLLM),
        "50 streams under way at a promotion": row(VLLM),
        "the rollback's greedy text": row(VLLM),
        "50 streams on two servers, one killed": row(VLLM),
    },
    "Uvicorn and Daphne": {
        "a reader that takes nothing of the 1 GB that it is sent": row(
            f"{WEB}::test_who_reads_slowly_is_waited_for_and_fills_no_memory"
        ),
        "100 MB of frames to a socket whose handler is busy": row(f"{WEB}::test_what_nobody_takes_is_not_read"),
        "a stop of the server": row(
            f"{WEB}::test_it_ends_soon_whatever_is_under_way",
            f"{WEB}::test_daphne_ends_soon_too_and_drops_its_sockets",
        ),
    },
    "Choosing and guarding replies": {
        "which reward model": row(
            "tests/rlhf/serving/test_source.py::test_the_newest_over_the_policy_or_what_it_came_from",
            "tests/rlhf/serving/test_source.py::"
            "test_neither_a_judge_nor_a_failed_run_nor_one_without_files_nor_one_of_another_policy",
        ),
        "where it runs": row(
            "tests/rlhf/serving/test_scorer.py::"
            "test_it_scores_as_the_reward_model_does_and_starts_again_after_a_kill",
            f"{CHOSEN}::test_it_is_loaded_while_it_is_needed_and_ended_after",
        ),
        "what a person sees": row(
            f"{CHOSEN}::test_nothing_is_shown_while_it_chooses_and_stop_ends_it",
            f"{CHOSEN}::test_an_engine_that_goes_away_interrupts_it_with_nothing_shown",
            f"{CANDIDATES}::test_the_chat_says_among_how_many_it_was_chosen_in_both_languages",
        ),
        "how long": row(
            f"{CHOSEN}::test_how_long_it_took",
            f"{CANDIDATES}::test_the_page_tells_how_long_it_takes_and_where_there_is_no_reward_model",
        ),
        "places of the engine": row(
            f"{CHOSEN}::test_a_reply_takes_no_more_places_than_the_engine_has",
            f"{CHOSEN}::test_the_best_of_four_is_shown_and_all_four_are_recorded",
        ),
        "what is kept": row(
            f"{CHOSEN}::test_the_best_of_four_is_shown_and_all_four_are_recorded",
            f"{CANDIDATES}::test_both_leave_with_the_conversation",
            f"{CANDIDATES}::test_its_owner_sees_the_candidates_but_not_what_a_guard_kept_back",
            f"{CANDIDATES}::test_a_moderator_sees_all_of_it_and_others_nothing",
        ),
        "what is left out": row(
            f"{CHOSEN}::test_one_of_a_pair_is_guarded_and_not_chosen",
            f"{CHOSEN}::test_at_temperature_zero_one_is_written",
        ),
    },
    "Profiles": {
        name: row(*PROFILES)
        for name in (
            "`backend`",
            "`dtype`",
            "`bits`",
            "`checkpointing`",
            "`prompts_per_iteration`",
            "`completions_per_prompt`",
            "`minibatch_rows`",
            "`sample_rows`",
        )
    },
    "Several processes": {
        "DDP (`MULTI_GPU`, `MULTI_CPU`)": row(f"{PROCESSES}::test_two_processes_train_as_one"),
        "FSDP2 (`FSDP`)": row(
            f"{PROCESSES}::test_two_processes_that_divide_the_base_train_as_one",
            f"{LAUNCH}::test_a_base_is_divided_by_transformers_alone",
        ),
        "the batch": row(
            f"{PROCESSES}::test_two_processes_train_as_one", f"{LAUNCH}::test_every_row_is_one_processs"
        ),
        "checkpoints": row(f"{PROCESSES}::test_a_run_killed_with_two_processes_goes_on_with_one"),
        "a process that dies": row(f"{PROCESSES}::test_a_failure_of_two_processes_leaves_its_reason_alone"),
        "cancel": row(f"{LAUNCHERS}::test_a_stop_ends_all_processes_with_one_checkpoint"),
        "other stages": row(
            f"{LAUNCH}::test_which_stages_several_processes_share",
            f"{LAUNCH}::test_a_stage_for_one_process_replaces_the_launcher",
        ),
        "types": row(f"{LAUNCH}::test_a_file_says_how_many_processes_and_by_what"),
        "refused": row(
            f"{LAUNCH}::test_what_is_not_there_is_refused",
            "tests/config/test_doctor.py::test_it_says_what_the_file_of_accelerate_asks_for",
        ),
        "with `CHAMSAE_ROLLOUT_URL`": row(
            "tests/rlhf/runs/test_requirements.py::test_several_processes_do_not_train_on_what_servers_sample"
        ),
        "GPUs": row(unrun="NCCL has not been run"),
    },
    "Rollout servers": {
        "the policy gets there": row(
            f"{SAMPLER}::test_a_folder_that_the_server_does_not_see_is_named",
            "tests/base/test_model_server.py::test_an_adapter_is_listed_with_its_base_and_loaded_once",
        ),
        "what is sampled": row(
            "tests/rlhf/training/rollouts/test_completions.py::test_nothing_is_left_to_the_defaults_of_a_server",
            "tests/rlhf/training/rollouts/test_completions.py::test_an_answer_that_cannot_be_is_refused",
            f"{SAMPLER}::test_the_servers_draw_from_the_distribution_of_the_policy",
        ),
        "the difference between server and training": row(
            "tests/rlhf/training/rollouts/test_mismatch.py::test_the_figures_by_hand",
            f"{SAMPLER}::test_tokens_of_a_server_that_is_off_are_weighted",
        ),
        "another model on a server": row(
            f"{SAMPLER}::test_another_model_on_the_server_is_refused_before_anything_is_learnt",
            f"{SAMPLER}::test_log_probs_from_before_the_temperature_are_told_apart",
        ),
        "adapters of former iterations": row(
            f"{SAMPLER}::test_adapters_that_a_killed_process_left_are_taken_off_and_those_of_others_stay",
            "tests/rlhf/runs/test_rollout_servers.py::"
            "test_a_killed_process_leaves_no_adapter_on_the_servers_nor_on_the_disk",
        ),
        "a server dies, or answers no look for 30 s": row(
            f"{SAMPLER}::test_two_servers_share_a_rollout_and_one_that_dies_leaves_its_part_to_the_other",
            f"{SAMPLER}::test_a_cancel_ends_the_wait_for_servers",
            f"{SAMPLER}::test_a_run_whose_servers_stay_away_fails_with_its_reason_and_goes_on_from_its_checkpoint",
        ),
        "RLOO and GRPO": row(
            f"{SERVED}::test_a_server_samples_each_step_with_the_adapter_of_the_step",
            f"{SERVED}::test_on_the_same_tokens_the_losses_are_those_of_trl_alone",
            f"{SERVED}::test_what_a_token_pulls_is_weighted_by_how_far_the_server_is_off",
            f"{SERVED}::test_a_trl_that_names_it_otherwise_is_refused_by_name",
            f"{SERVED}::test_a_run_whose_servers_stay_away_goes_on_from_its_last_step_as_if_nothing_had_been",
        ),
        "TRL's own vLLM (`trl vllm-serve`)": row(unrun="it could not have been executed"),
        "the key": row(
            "tests/rlhf/runs/test_rollout_servers.py::test_no_other_run_is_told_nor_has_the_key",
            f"{SAMPLER}::test_the_key_is_sent_and_leaves_the_environment",
        ),
        "12 iterations of 32 completions by the server": row(ROLLOUTS),
        "server and training apart": row(ROLLOUTS),
        "the server killed in the second iteration and started again after 8 s": row(ROLLOUTS),
        "the server without `--logprobs-mode`": row(ROLLOUTS),
        "speed, one after the other": row(ROLLOUTS),
    },
    "Tinker": {
        "a step": row(
            f"{TINKER}::test_the_reward_rises",
            f"{TINKER}::test_advantages_by_hand",
            "tests/rlhf/training/tinker/test_wire.py::test_a_request_says_what_protobuf_says",
        ),
        "which model": row(
            f"{TINKER}::test_a_server_without_the_base_is_refused",
            f"{TINKER}::test_another_model_under_the_same_name_is_refused_before_anything_is_learnt",
            f"{TINKER}::test_the_adapter_of_the_server_is_published_as_a_policy",
        ),
        "interruptions": row(f"{TINKER}::test_a_run_goes_on_from_the_checkpoint_on_the_server"),
        "the server is away": row(
            f"{TINKER}::test_a_server_that_is_away_is_named",
            f"{TINKER}::test_a_step_that_may_have_been_taken_is_not_sent_again",
        ),
        "refused before a cycle begins": row(
            f"{TINKER_FIT}::test_a_server_that_is_away_or_is_none_is_named",
            f"{TINKER_FIT}::test_a_server_with_another_base_is_named_with_what_it_has",
            f"{TINKER_FIT}::test_a_cluster_is_refused",
        ),
        "from the second cycle on": row(f"{TINKER_FIT}::test_a_live_policy_that_is_an_adapter_is_refused"),
        "PPO": row(f"{TINKER_FIT}::test_other_ways_are_trained_here_whatever_the_server_is"),
        "the adapter": row(f"{TINKER}::test_what_the_protocol_has_no_word_for_is_refused"),
        "the key": row(
            f"{TINKER}::test_the_key_is_sent",
            f"{TINKER_FIT}::test_the_training_process_is_told_the_address_and_may_have_the_key",
        ),
        "RLOO, the mean reward of a step": row(TINKER_BENCH),
        "server and base apart": row(TINKER_BENCH),
        "a step of 32 completions": row(TINKER_BENCH),
    },
    "Ray": {
        "shared": row(
            f"{REAL_RAY}::test_a_real_training_ends_by_a_job", f"{RAY}::test_models_are_fetched_on_this_machine"
        ),
        "where": row(
            f"{RAY}::test_a_job_gets_the_cores_and_none_of_the_sites_secrets",
            f"{RAY}::test_a_job_may_be_several_processes_of_its_machine",
            "tests/rlhf/training/test_launch.py::test_a_job_of_a_cluster_sees_the_cards_that_it_was_given",
        ),
        "the profile": row(
            "tests/config/test_training_profiles.py::test_auto_takes_a_card_s_only_where_torch_can_use_one"
        ),
        "with `CHAMSAE_ROLLOUT_URL`": row(
            "tests/rlhf/runs/test_requirements.py::test_a_cluster_does_not_train_on_what_servers_sample"
        ),
        "log and metrics": row(f"{RAY}::test_a_job_is_followed_to_its_result_with_its_log"),
        "cancel": row(
            f"{RAY}::test_a_stop_ends_the_job_with_a_checkpoint",
            f"{RAY}::test_a_job_that_waits_for_a_machine_is_stopped",
            f"{REAL_RAY}::test_a_cancel_reaches_the_job",
        ),
        "a machine is lost, or its process is killed": row(
            f"{RAY}::test_a_process_that_is_killed_on_its_machine_is_started_again",
            f"{REAL_RAY}::test_a_run_whose_machine_is_lost_goes_on_by_the_other",
        ),
        "the worker dies": row(
            f"{RAY}::test_a_job_ends_with_the_supervisor",
            f"{RAY}::test_a_job_of_which_the_cluster_knows_nothing_any_more_gives_way_to_the_next",
            f"{RAY}::test_a_job_that_was_left_waiting_does_not_keep_the_next_from_beginning",
            f"{REAL_RAY}::test_a_job_that_was_left_behind_has_ended_before_the_next_begins",
        ),
        "Ray does not answer": row(
            f"{RAY}::test_a_cluster_that_is_away_for_a_while_costs_nothing",
            f"{RAY}::test_a_result_is_taken_though_the_cluster_stays_away",
        ),
        "waiting for a machine": row(f"{RAY}::test_a_job_that_waits_for_a_machine_is_stopped"),
        "security": row(f"{RAY}::test_a_job_gets_the_cores_and_none_of_the_sites_secrets"),
        "tried": row(f"{REAL_RAY}::test_a_cycle_ends_by_jobs", unrun="have not been tried with a real cluster"),
    },
}
"""By the heading and the row's first cell."""
