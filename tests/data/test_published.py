"""Data as it is published on the hub: read right, or refused with the mapping that reads it."""

import json
import re

import pytest

from mapl_jax import load_pairs
from mapl_jax.runtime.errors import UserError

from support import ROOT

Q, GOOD, BAD = "How are you?", "Fine.", "Bad."
ASK = {"role": "user", "content": Q}
FINE, POOR = ([ASK, {"role": "assistant", "content": text}] for text in (GOOD, BAD))
SIDES = {"chosen": FINE, "rejected": POOR}
TEXTS = {"prompt": Q, "chosen": GOOD, "rejected": BAD}
AGAIN = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "No idea."}]


def parts(messages, **more):
    """Messages whose content is a list of parts, as the arena's are."""
    return [
        {"role": x["role"], **more, "content": [
            {"type": "text", "text": x["content"], "image": None, "mimeType": None}]}
        for x in messages
    ]  # fmt: skip


# The columns of these, and what their label means, were compared with the cards of the data sets:
# HuggingFaceH4/ultrafeedback_binarized, HuggingFaceH4/orca_dpo_pairs,
# HuggingFaceH4/cai-conversation-harmless-old, argilla/Capybara-Preferences,
# argilla/distilabel-capybara-dpo-7k-binarized, snorkelai/Snorkel-Mistral-PairRM-DPO-Dataset,
# Skywork/Skywork-Reward-Preference-80K (v0.1, v0.2), allenai/reward-bench, allenai/reward-bench-2,
# allenai/llama-3.1-tulu-3-preference-mixture (8b, 70b, 405b), THU-KEG/RM-Bench,
# CohereLabsCommunity/multilingual-reward-bench, Magpie-Align/Magpie-Pro-DPO-100K-v0.1,
# Magpie-Align/MagpieLM-DPO-Data-v0.1, openbmb/UltraInteract_pair, llm-blender/Unified-Feedback,
# berkeley-nest/Nectar, openai/webgpt_comparisons, ScalerLab/JudgeBench, NCSOFT/offsetbias,
# GAIR/preference-dissection, Eloquent/preference_prediction (its columns), OpenAssistant/oasst1,
# lmarena-ai/arena-human-preference-140k, arena-expert-5k, lmsys/mt_bench_human_judgments,
# lmarena-ai/PPE-Human-Preference-V1, PPE-MMLU-Pro-Best-of-K and PPE-GPQA-Best-of-K.
# These with code that reads them, and what their cards say of them: Anthropic/hh-rlhf,
# nvidia/HelpSteer2 (preference), nvidia/HelpSteer3 (preference, edit, edit_quality),
# PKU-Alignment/PKU-SafeRLHF, stanfordnlp/SHP (which SHP-2 extends), openbmb/UltraFeedback,
# openai/summarize_from_feedback, HuggingFaceH4/stack-exchange-preferences,
# lvwerra/stack-exchange-paired, lmsys/lmsys-arena-human-preference-55k, tatsu-lab/alpaca_farm,
# argilla/distilabel-intel-orca-dpo-pairs, argilla/OpenHermesPreferences,
# argilla/ultrafeedback-binarized-preferences-cleaned, prometheus-eval/Preference-Collection,
# CValues-Comparison, xinlai/Math-Step-DPO-10K.
# nvidia/HelpSteer3 (feedback, principle): its card. coseal/CodeUltraFeedback: data_processing.py of
# martin-wey/CodeUltraFeedback. BAAI/JudgeLM-100K: judgelm_preprocess.py of baaivision/JudgeLM, and
# records in repositories that use it. PandaLM: data/testset-v1.json and core/datasets.py of
# WeOpenML/PandaLM; that 0 is a tie, from memory. HannahRoseKirk/prism-alignment: its card, and code
# that walks conversation_history. Amazon's preferences: "Direct preference optimization (DPO)" of
# the guides of SageMaker and Nova.
# The others are from memory.

# What is read as it is.
READ = {
    "UltraFeedback binarized": {
        "prompt": Q, "prompt_id": "a", **SIDES, "messages": FINE, "score_chosen": 8.5,
        "score_rejected": 3.0},
    "Argilla's UltraFeedback": {
        "source": "evol", "prompt": Q, **SIDES, "chosen-rating": 5.0, "chosen-model": "x",
        "rejected-rating": 1.0, "rejected-model": "y"},
    "Argilla's Orca": {
        "system": "", "input": Q, "chosen": GOOD, "rejected": BAD, "generations": [GOOD, BAD],
        "order": ["chosen", "rejected"], "status": "unchanged", "labelling_prompt": [ASK],
        "rating": [9.0, 3.0],
        "original_chosen": GOOD, "chosen_score": 9.0, "in_gsm8k_train": False},
    "Argilla's mix": {"dataset": "x", **SIDES, "chosen_rating": 5.0, "rejected_rating": 1.0},
    "Orca": {"system": "", "question": Q, "chosen": GOOD, "rejected": BAD},
    "Orca, H4's": {
        "chosen": FINE, "rejected": POOR, "prompt": Q},
    "HH-RLHF": {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {GOOD}",
                "rejected": f"\n\nHuman: {Q}\n\nAssistant: {BAD}"},
    "RewardBench 2": {
        "id": "0", "prompt": Q, "chosen": [GOOD], "rejected": ["So.", "Well.", BAD],
        "num_correct": 1, "num_incorrect": 3, "total_completions": 4, "models": ["x", "y"],
        "subset": "Math", "additional_metadata": {
            "category": None, "correct": "4", "index": 1.0, "instruction_id_list": None,
            "label": None, "method": "m", "models": ["x"], "prompt_norm": Q, "valid": 1.0}},
    "RM-Bench": {
        "id": "chat/0", "prompt": Q, "chosen": [GOOD, "All is fine.", "**Fine.**"],
        "rejected": ["All is bad.", "**Bad.**", BAD], "domain": "chat"},
    "M-RewardBench": {
        **TEXTS, "id": 1, "language": "fra_Latn", "chosen_model": "x", "rejected_model": "y",
        "subset": "alpacaeval-easy"},
    "Capybara-Preferences": {
        "source": "x", **SIDES, "chosen_rating": 5, "chosen_model": "x", "rejected_rating": 1,
        "rejected_model": "y"},
    "Tulu 3, 405B": {
        "prompt": Q, **SIDES, "chosen_rating": 4.5, "rejected_rating": 2.0, "chosen_model": "x",
        "rejected_model": "y", "source": "s", "id": "i"},
    "OpenHermes": {
        "source": "s", "category": None, "prompt": Q, "candidates_completions": [GOOD, BAD],
        "candidate_policies": ["x", "y"], "ranks": [1, 2], "rank_str": "a>b", "chosen_policy": "x",
        "rejected_policy": "y", **SIDES},
    "Skywork": {**SIDES, "source": "x"},
    "Tulu 3": {"id": "a", "source": "s", "prompt": Q, **SIDES},
    "Snorkel": {
        "prompt_id": "x", "prompt": Q, **SIDES, "all_generated_responses": [GOOD, BAD],
        "all_rm_scores": [1.0, 0.0]},
    "RewardBench": {
        **TEXTS, "chosen_model": "x", "rejected_model": "y", "subset": "alpacaeval-easy", "id": 0},
    "HH-RLHF, static": {"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "response": GOOD,
                        "chosen": GOOD, "rejected": BAD},
    "OpenAssistant, in pairs": {"lang": "en", "parent_id": "x", **TEXTS},
    "Together's": {"input": Q, "preferred_output": GOOD, "non_preferred_output": BAD},
    "Magpie": {
        "uuid": "u", "instruction": Q, "gen_input_configs": {"top_p": 1}, "intent": "to ask",
        "knowledge": "None is needed.", "difficulty": "easy", "input_quality": "good",
        "quality_explanation": "clear", "task_category": "Advice", "input_length": 12,
        "responses": [GOOD, BAD], "gen_response_configs": {"prompt": "x", "stop_tokens": ["y"]},
        "rewards_armorm": [{"score": 0.2}, {"score": 0.1}], **SIDES},
    "Magpie, MagpieLM's": {"uuid": "u", "instruction": Q, **SIDES},
    "Capybara": {
        "source": "x", "conversation": [{"input": Q, "output": GOOD}], "original_response": GOOD,
        "generation_prompt": [Q], "raw_generation_responses": [BAD], "new_generations": [BAD],
        "prompt": Q, **SIDES, "rating_chosen": 5, "rating_rejected": 1, "chosen_model": "x",
        "rejected_model": "y"},
    "Amazon Nova": {
        "schemaVersion": "bedrock-conversation-2024", "messages": [
            {"role": "user", "content": [{"text": Q}]}, {"role": "assistant", "candidates": [
                {"content": [{"text": BAD}], "preferenceLabel": "non-preferred"},
                {"content": [{"text": GOOD}], "preferenceLabel": "preferred"}]}]},
    "constitutional": {
        "index": 0, "prompt": Q, "init_prompt": ASK, "init_response": POOR[1],
        "critic_prompt": ASK, "critic_response": AGAIN[1], "revision_prompt": ASK,
        "revision_response": FINE[1], "messages": FINE, **SIDES},
}  # fmt: skip

# What is refused, with the mapping that the error names.
MAPPED = {
    "prompt=instruction,chosen=chosen_response,rejected=rejected_response": {
        "instruction": Q, "chosen_response": GOOD, "rejected_response": BAD,
        "chosen_avg_rating": 5.0, "chosen_model": "x"},
    "prompt=prompt,responses=response_a|response_b,scores=winner_model_a|winner_model_b": {
        "id": 1, "model_a": "m", "model_b": "n", "prompt": json.dumps([Q]), "winner_tie": 0,
        "response_a": json.dumps([GOOD]), "response_b": json.dumps([BAD]), "winner_model_a": 1,
        "winner_model_b": 0},
    "prompt=question.full_text,responses=answer_0|answer_1,scores=score_0|score_1": {
        "question": {"dataset": "eli5", "id": "x", "full_text": Q}, "answer_0": GOOD,
        "quotes_0": {"title": ["a"], "extract": ["b"]}, "score_0": 1.0, "answer_1": BAD,
        "tokens_0": {"prefix": [1], "completion": [2]}, "score_1": -1.0,
        "quotes_1": {"title": ["a"], "extract": ["b"]},
        "tokens_1": {"prefix": [1], "completion": [2]}},
    "prompt=info.post,responses=summaries[].text,choice=choice": {
        "info": {"id": "x", "post": Q, "title": "t", "article": None}, "choice": 0, "worker": "w",
        "summaries": [{"text": GOOD, "policy": "p", "note": None},
                      {"text": BAD, "policy": "q", "note": None}]},
    "prompt=question,responses=response_A|response_B,choice=label": {
        "pair_id": "x", "original_id": "1", "source": "mmlu-pro", "question": Q,
        "response_model": "m", "response_A": GOOD, "response_B": BAD, "label": "A>B"},
    "prompt=prompt,responses=response_1|response_2,choice=winner": {
        "question_id": "q", "model_a": "x", "model_b": "y", "winner": "model_a", "prompt": Q,
        "response_1": GOOD, "response_2": BAD, "language": "English", "is_code": False,
        "conv_metadata": {"turns": 1}, "is_refusal": False, "sim": 0.5, "length_a": 1,
        "category_tag": {"if_v0.1": {"if": False, "score": 1}}, "token_diff": 0.0,
        "longer_won": "tie", "hard_prompt": False, "if_prompt": False},
    "prompt=question,responses=response_1|response_2,choice=overall_response": {
        "question": Q, "response_1": GOOD, "response_2": BAD, "overall_response": 1},
    "prompt=instruction,responses=output_1|output_2,choice=preference": {
        "instruction": Q, "input": "", "output_1": GOOD, "output_2": BAD, "preference": 1,
        "raw_preference": 2},
    "prompt=question,responses=answers[].text,scores=answers[].pm_score": {
        "qid": 1, "question": Q, "answers": [
            {"answer_id": 1, "author": "x", "author_profile": "https://example.com/x",
             "pm_score": 3, "selected": True, "text": GOOD},
            {"answer_id": 2, "author": "y", "author_profile": "https://example.com/y",
             "pm_score": 0, "selected": False, "text": BAD}]},
    "prompt=question,chosen=response_j,rejected=response_k": {
        "qid": 1, "question": Q, "response_j": GOOD, "response_k": BAD, "metadata": ["x"]},
    "prompt=input,chosen=accepted,rejected=rejected": {
        "input": Q, "accepted": GOOD, "rejected": BAD},
    "responses=conv_A|conv_B,scores=conv_A_rating|conv_B_rating": {
        "id": "1", "conv_A": FINE, "conv_B": POOR, "conv_A_rating": 5.0, "conv_B_rating": 1.0,
        "num_turns": 1, "source": "Nectar"},
    "prompt=trajectory,chosen=chosen,rejected=rejected": {
        "task": "Coding", "dataset": "apps", "trajectory": [{"from": "user", "value": Q}],
        "chosen": GOOD, "rejected": BAD, "id": "a", "parent_id": "b"},
    "prompt=prompt,responses=completions,scores=scores": {
        "prompt": Q, "completions": [BAD, GOOD], "scores": [1, 2]},
    "prompt=prompt,responses=candidates[].content,scores=candidates[].reward": {
        "prompt": Q, "candidates": [{"content": BAD, "reward": 1.0},
                                    {"content": GOOD, "reward": 2.0}]},
    "prompt=prompt,responses=answers[].text,ranks=answers[].rank": {
        "prompt": Q, "answers": [{"text": BAD, "rank": 2}, {"text": GOOD, "rank": 1}]},
    "prompt=prompt,responses=reply_1|reply_2|reply_3,scores=score_1|score_2|score_3": {
        "prompt": Q, "reply_1": "So.", "reply_2": GOOD, "reply_3": BAD, "score_1": 2,
        "score_2": 3, "score_3": 1},
    "prompt=prompt,responses=responses,choice=chosen": {
        "prompt": Q, "responses": [BAD, GOOD], "chosen": 1},
    "prompt=prompt,chosen=response_win,rejected=response_lose": {
        "prompt": Q, "response_win": GOOD, "response_lose": BAD},
    "prompt=query,chosen=pos,rejected=neg": {"query": Q, "pos": [GOOD], "neg": [BAD]},
    "prompt=row.prompt,chosen=row.chosen,rejected=row.rejected": {
        "row_idx": 0, "row": TEXTS, "truncated_cells": []},
    "prompt=prompt,chosen=chosen.text,rejected=rejected.text": {
        "prompt": Q, "chosen": {"text": GOOD, "model": "x"},
        "rejected": {"text": BAD, "model": "y"}},
    # NeMo, torchtune, Gemini, CValues, AlpacaEval, LLMBar, ShareGPT's with one reply, Axolotl
    "prompt=context,responses=completions[].completion,ranks=completions[].rank": {
        "context": [ASK], "completions": [{"rank": 1, "completion": POOR[1:]},
                                          {"rank": 0, "completion": FINE[1:]}]},
    "chosen=chosen_conversations,rejected=rejected_conversations": {
        "chosen_conversations": FINE, "rejected_conversations": POOR},
    "prompt=contents,responses=completions[].completion,scores=completions[].score": {
        "contents": [{"role": "user", "parts": [{"text": Q}]}], "completions": [
            {"score": 1, "completion": {"role": "model", "parts": [{"text": GOOD}]}},
            {"score": 0, "completion": {"role": "model", "parts": [{"text": BAD}]}}]},
    "prompt=prompt,chosen=pos_resp,rejected=neg_resp": {
        "prompt": Q, "pos_resp": GOOD, "neg_resp": BAD, "pos_type": "x", "neg_type": "y"},
    "prompt=question,responses=output_1|output_2,choice=preference": {
        "question": Q, "output_1": GOOD, "generator_1": "x", "output_2": BAD, "generator_2": "y",
        "annotator": "z", "preference": 1.37},
    "prompt=input,responses=output_1|output_2,choice=label": {
        "input": Q, "output_1": BAD, "output_2": GOOD, "label": 2},
    "conversation=conversations,rejected=rejected": {
        "conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": GOOD}],
        "rejected": BAD},
    "prompt=conversation,chosen=chosen,rejected=rejected": {
        "conversation": [ASK], "chosen": FINE[1], "rejected": POOR[1]},
    # Prometheus, HelpSteer3's edits, OASST's trees, Preference Dissection, PPE, and others
    "prompt=orig_instruction,responses=orig_response_A|orig_response_B,choice=orig_preference,"
    "ignore=instruction": {
        "instruction": f"Task: {Q} A: {GOOD} B: {BAD}", "output": "A is kinder. [RESULT] A",
        "orig_instruction": Q, "orig_response_A": GOOD, "orig_response_B": BAD,
        "orig_preference": "A", "orig_criteria": "Is it kind?", "orig_score_A": "5",
        "orig_score_B": "2", "orig_reference_answer": "Well.", "orig_feedback_A": "kind",
        "orig_feedback_B": "rude", "orig_feedback": "A is kinder."},
    "prompt=context,chosen=edited_response,rejected=original_response": {
        "domain": "general", "context": [ASK], "original_response": BAD, "edited_response": GOOD,
        "change_summary": ["kinder"], "feedback": ["rude"]},
    "prompt=context,chosen=good_edited_response,rejected=bad_edited_response": {
        "context": [ASK], "original_response": "So.", "good_edited_response": GOOD,
        "bad_edited_response": BAD, "feedback": ["rude"]},
    "prompt=prompt.text,responses=prompt.replies[].text,ranks=prompt.replies[].rank": {
        "message_tree_id": "m", "tree_state": "ready_for_export", "prompt": {
            "message_id": "m", "text": Q, "role": "prompter", "lang": "en", "replies": [
                {"message_id": "a", "text": BAD, "role": "assistant", "rank": 1, "replies": []},
                {"message_id": "b", "text": GOOD, "role": "assistant", "rank": 0,
                 "replies": []}]}},
    "prompt=query,responses=response_1.content|response_2.content,"
    "choice=preference_labels.human,ignore=scenario_auto-j|scenario_group": {
        "query": Q, "scenario_auto-j": "chitchat", "scenario_group": "Chitchat",
        "response_1": {"content": GOOD, "model": "x", "num_words": 1},
        "response_2": {"content": BAD, "model": "y", "num_words": 1},
        "gpt-4-turbo_reference": "Well.", "explicit constraints": ["x"],
        "clear intent": "Yes", "preference_labels": {
            "gpt-4-1106-preview": "response_2", "human": "response_1", "yi-6b": "response_2"},
        "basic_response_1": {"lengthy": 1}, "basic_response_2": {"lengthy": 2}},
    "prompt=prompt,responses=response_1|response_2,scores=scores,ignore=options": {
        "question_id": "q", "question": Q, "options": ["Good", "Bad"], "answer": "A",
        "answer_index": 0, "category": "health", "model_name": "m", "parsed_outputs": ["B", "A"],
        "scores": [False, True], "mean_score": 0.5, "prompt": Q, "response_1": BAD,
        "response_2": GOOD, "conflict_pairs": [[0, 1]], "sampled_conflict_pairs": [[0, 1]]},
    "prompt=prompt,responses=response_1|response_2,scores=scores,ignore=choices": {
        "question_id": "q", "Question": Q, "Subdomain": "x", "Record ID": "r",
        "choices": ["Good", "Bad"], "correct_choice_index": 0, "correct_choice": "Good",
        "model_name": "m", "parsed_outputs": ["B", "A"], "scores": [False, True],
        "mean_score": 0.5, "prompt": Q, "response_1": BAD, "response_2": GOOD,
        "canary_string": "c", "conflict_pairs": [[0, 1]]},
    "prompt=instruction,responses=output_a|output_b,choice=overall_quality_preference": {
        "id": "x", "instruction": Q, "output_a": GOOD, "output_b": BAD,
        "relevance_preference": "B", "relevance_explanation": "x", "safety_preference": "B",
        "overall_quality_preference": "A", "overall_quality_explanation": "y"},
    "prompt=prompt,responses=model_a_response|model_b_response,choice=preference": {
        "prompt": Q, "model_a_response": BAD, "model_b_response": GOOD, "preference": "model_b"},
    "prompt=input_text,responses=candidate_0|candidate_1,choice=choice": {
        "input_text": Q, "candidate_0": GOOD, "candidate_1": BAD, "choice": 0},
    "prompt=user_input,responses=completion_a|completion_b,choice=winner": {
        "user_input": Q, "completion_a": BAD, "completion_b": GOOD, "winner": "b"},
    "prompt=prompt,responses=answer1|answer2,choice=comparison": {
        "prompt": Q, "answer1": BAD, "answer2": GOOD, "comparison": "right", "id": 1},
    "prompt=prompt,responses=response-1|response-2,choice=preference": {
        "prompt": Q, "response-1": GOOD, "response-2": BAD, "preference": "response-1"},
    "prompt=instruction,responses=output_1|output_2,choice=label": {
        "instruction": Q, "output_1": GOOD, "output_2": BAD, "label": 1},
    "prompt=input,responses=generations,scores=rating": {
        "input": Q, "generation_model": ["x", "y"], "generations": [BAD, GOOD],
        "rating": [3.0, 9.0], "rationale": ["rude", "kind"]},
    "prompt=question,responses=answers.a|answers.b,choice=winner": {
        "question": Q, "answers": {"a": GOOD, "b": BAD}, "winner": "a"},
    "prompt=messages,chosen=positive_messages,rejected=negative_messages": {
        "messages": [ASK], "positive_messages": [FINE[1:]], "negative_messages": [POOR[1:]]},
    "chosen=conversations_chosen,rejected=conversations_rejected": {
        "id": "x", "conversations_chosen": FINE, "conversations_rejected": POOR},
    "prompt=instruction,responses=responses[].response,scores=annotations[].rating": {
        "instruction": Q, "models": ["x", "y"], "preference": "readability",
        "responses": [{"model": "x", "response": GOOD}, {"model": "y", "response": BAD}],
        "annotations": [{"model": "y", "rating": "2", "rationale": "rude"},
                        {"model": "x", "rating": "5", "rationale": "kind"}]},
    "prompt=question_body,responses=answer1_body|answer2_body,scores=score": {
        "question_id": 0, "score": [9.0, 7.0], "question_body": Q, "answer1_body": GOOD,
        "answer2_body": BAD, "answer1_model_id": "x", "answer2_model_id": "y",
        "answer1_metadata": {"decoding_method": "top_p_sampling"}, "text": "9 7\nThe first ...",
        "answer2_metadata": {"decoding_method": "top_p_sampling"}, "reference": {"text": "Well."}},
    "prompt=question,responses=answer_1|answer_2,choice=preferred_answer": {
        "id": "x", "question": Q, "answer_1": GOOD, "answer_2": BAD, "preferred_answer": 1},
}  # fmt: skip


# What a named form reads, with all that stands beside it as it is published.
SIDE_BY_SIDE = {"conversation_a": FINE, "conversation_b": POOR, "winner": "model_a"}
NAMED = {
    "arena, 33k": ("arena", {
        **SIDE_BY_SIDE, "question_id": "q", "judge": "arena_user_1", "turn": 1, "anony": True,
        "openai_moderation": {"flagged": False}, "toxic_chat_tag": {"roberta": {"p": 0.1}}}),
    "arena, 100k": ("arena", {
        **SIDE_BY_SIDE, "conv_metadata": {"sum_user_tokens": 3}, "is_code": False,
        "dedup_tag": {"high_freq": False}, "category_tag": {"if": {"if": False}}}),
    "arena, 140k": ("arena", {
        "id": "a", "model_a": "m", "model_b": "n", "winner": "model_a",
        "evaluation_session_id": "e", "evaluation_order": 1, "conversation_a": parts(FINE),
        "conversation_b": parts(POOR, num_tokens=3), "full_conversation": [{
            "user": parts([ASK])[0], "model_side_a": parts(FINE)[1],
            "model_side_b": parts(POOR)[1]}],
        "conv_metadata": {"sum_assistant_a_tokens": 3, "header_count_a": {"h1": 0}},
        "category_tag": {"math_v0.1": {"math": False}}, "language": "en", "is_code": False}),
    "arena, experts": ("arena", {
        "id": "a", "model_a": "m", "model_b": "n", "winner": "model_a",
        "conversation_a": json.dumps(parts(FINE)), "conversation_b": json.dumps(parts(POOR)),
        "evaluation_order": 1, "full_conversation": "[]", "language": "en",
        "occupational_tags": {"education": True}}),
    "MT-Bench": ("arena", {
        "question_id": 81, "model_a": "m", "model_b": "n", "winner": "model_a",
        "judge": "author_2", "conversation_a": FINE + AGAIN, "conversation_b": POOR + AGAIN,
        "turn": 1}),
    "HelpSteer3": ("helpsteer3", {
        "domain": "general", "language": "english", "context": [ASK], "response1": GOOD,
        "response2": BAD, "overall_preference": -2,
        "individual_preference": [
            {"score": -2, "reasoning": "x", "feedback1": "y", "feedback2": "z"}]}),
    "HelpSteer2": ("helpsteer2", {
        "split": "train", "prompt": Q, "response_1": GOOD, "response_2": BAD,
        "preference_strength": -2, "preference_statement": "@Response 1 is better.",
        "preference_elaboration": "It is kind.", "three_most_similar_preferences": [
            {"statement": "x", "elaboration": "y", "strength": -2}],
        "all_preferences_unprocessed": [{"strength": -2}]}),
    "PKU-SafeRLHF": ("safe_rlhf", {
        "prompt": Q, "response_0": BAD, "response_1": GOOD, "is_response_0_safe": False,
        "is_response_1_safe": True, "response_0_harm_category": {"x": True},
        "response_0_severity_level": 2, "better_response_id": 1, "safer_response_id": 1}),
    "SHP-2": ("shp", {
        "post_id": "x", "domain": "askphysics", "upvote_ratio": 0.9, "history": Q, "score_A": 3,
        "score_B": 12, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0, "score_ratio": 4.0}),
    "Nectar": ("nectar", {
        "prompt": f"\n\nHuman: {Q}\n\nAssistant: ", "turns": 1, "good_natured": True, "answers": [
            {"answer": BAD, "model": "x", "rank": 2.0}, {"answer": GOOD, "model": "y", "rank": 1.0},
        ], "num_responses": 2, "source": ["lmsys-chat-1m"]}),
    "PandaLM": ("pandalm", {
        "idx": 0, "motivation_app": "Gmail", "cmp_key": "x_y", "instruction": Q, "input": None,
        "response1": BAD, "response2": GOOD, "annotator1": 2, "annotator2": 1, "annotator3": 2}),
    "PRISM": ("prism", {
        "conversation_id": "c1", "user_id": "u1", "conversation_type": "unguided",
        "opening_prompt": Q, "conversation_turns": 1, "open_feedback": "kind",
        "conversation_history": [
            {"turn": 0, "role": "user", "content": Q},
            {"turn": 0, "role": "model", "content": BAD, "model_name": "x", "score": 12,
             "if_chosen": False, "within_turn_id": 0},
            {"turn": 0, "role": "model", "content": GOOD, "model_name": "y", "score": 88,
             "if_chosen": True, "within_turn_id": 1}]}),
    "UltraFeedback": ("ultrafeedback", {
        "source": "evol", "instruction": Q, "models": ["x", "y"], "correct_answers": ["None"],
        "completions": [
            {"response": BAD, "overall_score": 3.0, "custom_system_prompt": "Be honest.",
             "critique": "rude", "annotations": {"honesty": {"Rating": "1"}}},
            {"response": GOOD, "overall_score": 8.5, "custom_system_prompt": "Be honest.",
             "critique": "kind", "annotations": {"honesty": {"Rating": "5"}}}]}),
}  # fmt: skip


def assert_read(pair):
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ([ASK], GOOD, BAD)


@pytest.mark.parametrize("name", READ)
def test_published_pairs_are_read_as_they_are(name):
    assert_read(load_pairs([READ[name]])[0])


@pytest.mark.parametrize("name", NAMED)
def test_a_published_form_is_named_and_read_with_what_stands_beside_it(name):
    form, record = NAMED[name]
    with pytest.raises(UserError, match=f"data.format={form}$"):
        load_pairs([record])
    assert_read(load_pairs([record], format=form)[0])


@pytest.mark.parametrize("columns", MAPPED)
def test_the_error_names_the_mapping_that_reads_the_record(columns):
    with pytest.raises(UserError, match=f"{re.escape('data.columns=' + columns)}$"):
        load_pairs([MAPPED[columns]])
    assert_read(load_pairs([MAPPED[columns]], columns=columns)[0])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": Q, "response": GOOD, "helpfulness": 4}, "'response' is a single reply"),
        ({"prompt": Q, "completion": GOOD, "label": True}, "'label' judges single replies"),
        ({"prompt": Q, "response": GOOD, "category": {"x": False}, "is_safe": True}, "'is_safe' j"),
        ({"inputs": Q, "targets": GOOD, "language": "English"}, "'targets' is a single reply"),
        ({"instruction": Q, "context": "", "response": GOOD}, "'response' is a single reply"),
        (
            {
                "prompt": Q,
                "adversarial": False,
                "response": GOOD,
                "response_harm_label": "none",
                "response_refusal_label": "none",
            },
            "'response' is a single reply",
        ),
        (
            {
                "utterance_id": "ut1",
                "conversation_id": "c1",
                "turn": 0,
                "within_turn_id": 0,
                "conversation_type": "unguided",
                "user_prompt": Q,
                "model_response": GOOD,
                "model_name": "x",
                "score": 88,
                "if_chosen": True,
            },
            "'model_response' is a single reply",
        ),
        (
            {
                "domain": "general",
                "language": "english",
                "context": [ASK],
                "response1": GOOD,
                "response2": BAD,
                "feedback1": ["Kind."],
                "feedback2": ["Rude."],
            },
            "no column says which of 'response1' and 'response2' is better",
        ),
        (
            {
                "domain": "general",
                "context": [ASK],
                "response": GOOD,
                "principle": "kindness",
                "fulfilment": "Yes",
            },
            "'response' is a single reply",
        ),
        (
            {
                "input_sequence": f"### Instruction:\n{Q}\n\n### Response 1:\n{GOOD}\n\n"
                f"### Response 2:\n{BAD}\n\n### Evaluation:\n",
                "output_sequence": "1\n\n### Reason: kind",
            },
            "'input_sequence' asks a judge about two replies in one text",
        ),
        ({"messages": [ASK], "ground_truth": "42"}, "say which column is which with data.columns"),
        # How much better is not which is better, and what is said of one side is no choice.
        (
            {"prompt": Q, "response_1": GOOD, "response_2": BAD, "preference_ranking": 1},
            "say which column is which with data.columns",
        ),
        (
            {"prompt": Q, "response_A": GOOD, "response_B": BAD, "overall_preference_A": 1},
            "say which column is which with data.columns",
        ),
        ({"message_id": "x", "text": Q, "role": "prompter"}, "it is one message"),
        ({**TEXTS, "prefill": "Well,"}, "column 'prefill'"),
        (
            {
                **TEXTS,
                "dataset": "x",
                "initial_reason_steps": "First,",
                "full_chosen": f"First, {GOOD}",
                "full_rejected": f"First, {BAD}",
                "answer": "42",
            },
            "column 'initial_reason_steps'",
        ),
        ({**TEXTS, "knowledge": "The sky is blue.", "difficulty": "easy"}, "column 'knowledge'"),
        ({**TEXTS, "image": {"bytes": "x"}}, "data.columns=ignore=image"),
        ({**TEXTS, "prompt": [{"speaker": "user", "text": Q}]}, "(found: speaker, text)"),
    ],
)
def test_what_is_no_pair_of_texts_is_told(record, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_pairs([record])


def test_turns_as_lists_are_read_where_there_is_one_of_each():
    columns = "responses=a|b,choice=winner"
    one = {"prompt": json.dumps([Q]), "a": json.dumps([GOOD]), "b": json.dumps([BAD]), "winner": 0}
    assert_read(load_pairs([one], columns=columns)[0])
    more = {key: json.dumps(["x" + key, "y" + key]) for key in ("prompt", "a", "b")}
    with pytest.raises(UserError, match="holds lists of 2 turns"):
        load_pairs([{**more, "winner": 0}], columns=columns)
    (sorting,) = load_pairs([{"prompt": "Sort b, a.", "chosen": '["a"]', "rejected": '["b"]'}])
    assert (sorting["chosen"], sorting["rejected"]) == ('["a"]', '["b"]')


@pytest.mark.parametrize("choice", ["A>B", "[[A>>B]]", "b < a", "Response A", "model_a", "1", 1])
def test_verdicts_of_judges_are_choices(choice):
    record = {"prompt": Q, "response_1": GOOD, "response_2": BAD, "verdict": choice}
    assert_read(load_pairs([record], columns="responses=response_1|response_2,choice=verdict")[0])


def test_a_verdict_of_equality_is_a_tie():
    record = {"prompt": Q, "a": GOOD, "b": BAD, "verdict": "[[A=B]]"}
    (pair,) = load_pairs([record], columns="responses=a|b,choice=verdict")
    assert (pair["over"], pair["tied"]) == ([], [(0, 1)])


@pytest.mark.parametrize(
    ("sure", "over"), [(1.2, "Fine."), (1.9, "Bad."), (1.5, ""), ("1.37", "Fine."), ("2.0", "Bad.")]
)
def test_a_choice_between_one_and_two_says_how_sure_a_judge_is(sure, over):
    record = {"prompt": Q, "output_1": GOOD, "output_2": BAD, "preference": sure}
    (pair,) = load_pairs([record], columns="responses=output_1|output_2,choice=preference")
    assert pair["chosen"] == over if over else pair["tied"] == [(0, 1)]


def test_right_and_wrong_are_scores():
    record = {"prompt": Q, "responses": [BAD, GOOD, "So."], "scores": [False, True, False]}
    (pair,) = load_pairs([record])
    assert (pair["chosen"], pair["over"]) == (GOOD, [(0, 1), (0, 2)])


STRONG = {"prompt": Q, "response_1": GOOD, "response_2": BAD, "preference_strength": 3}


def test_a_strength_that_contradicts_a_choice_is_refused_with_the_mapping_that_reads_it():
    columns = "prompt=prompt,responses=response_1|response_2,choice=preference"
    with pytest.raises(UserError) as told:
        load_pairs([{**STRONG, "preference": 1}], format="helpsteer2")
    assert str(told.value).startswith(
        "record 1: prefers one response by 'preference_strength' (3) and the other by 'preference' "
        "(1); if 'preference_strength' only says how much better one is, set "
        f"data.columns={columns};"
    )
    assert_read(load_pairs([{**STRONG, "preference": 1}], columns=columns)[0])
    for choice, ours in ((1, "helpsteer2,ignore=preference"), (2, "helpsteer2")):
        (pair,) = load_pairs([{**STRONG, "preference": choice}], columns=ours)
        assert pair["chosen"] == BAD


@pytest.mark.parametrize("signs", [(1,), (-1,), (1, -1)])
def test_a_strength_that_always_prefers_the_same_side_is_told(signs, capsys):
    records = [
        {**STRONG, "prompt": f"{i}?", "preference_strength": 2 * signs[i % len(signs)]}
        for i in range(24)
    ]
    load_pairs(records, format="helpsteer2")
    told = "which prefers the first response" if signs == (-1,) else "prefers the second response"
    assert (told in capsys.readouterr().out) == (len(signs) == 1)


def test_a_strength_may_stand_in_one_of_several_columns(capsys):
    records = [{"prompt": f"{i}?", "a": "Yes.", "b": "No.", "sure": 1} for i in range(24)]
    columns = "prompt=prompt,responses=a|b,strength=strength/sure"
    assert len(load_pairs(records, columns=columns)) == 24
    assert "sure is above 0 in all records" in capsys.readouterr().out


def test_a_named_form_may_leave_columns_unread():
    record = {**NAMED["MT-Bench"][1], "context": "An old chat."}
    with pytest.raises(UserError, match=r"data\.columns=arena,ignore=context"):
        load_pairs([record], format="arena")
    assert_read(load_pairs([record], columns="arena,ignore=context")[0])


def test_a_column_may_be_left_unread():
    extra = {"context": "An old chat.", "id": "same"}
    pairs = load_pairs([{**TEXTS, **extra}, {**TEXTS, **extra}], columns="ignore=context|id")
    assert_read(pairs[0])
    assert pairs[0]["id"] != pairs[1]["id"]
    other = {"input": {"messages": [ASK]}, "preferred_output": FINE[1:], "context": "Old.",
             "non_preferred_output": POOR[1:]}  # fmt: skip
    assert_read(load_pairs([other], columns="ignore=context")[0])


def test_the_mappings_of_the_page_are_tried_here():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    mappings = re.findall(r"^\| [^|]+ \| `([^`]*=[^`]*,[^`]*)` \|$", page, re.MULTILINE)
    assert len(mappings) > 8
    assert {mapping.replace("\\|", "|") for mapping in mappings} <= set(MAPPED)


@pytest.mark.parametrize("turn", [2, 3, 2.0, "1", None])
def test_the_turn_that_was_judged_is_compared(turn):
    record = {
        "conversation_a": FINE + AGAIN,
        "conversation_b": FINE + AGAIN[:1] + POOR[1:],
        "winner": "model_a",
        "turn": turn,
    }
    (pair,) = load_pairs([record], format="arena")
    assert (pair["chosen"], pair["rejected"]) == (AGAIN[1]["content"], BAD)
    assert pair["prompt"] == FINE + AGAIN[:1]
    with pytest.raises(UserError, match="the same"):  # what was answered in the first turn is
        load_pairs([{**record, "turn": 1}], format="arena")


def test_a_turn_whose_context_differs_is_refused():
    record = {**SIDE_BY_SIDE, "conversation_a": FINE + AGAIN, "conversation_b": POOR + AGAIN}
    with pytest.raises(UserError, match="one reply only"):
        load_pairs([{**record, "turn": 2}], format="arena")
    with pytest.raises(UserError, match="one reply only"):  # as with the column left unread
        load_pairs([{**record, "turn": 1}], columns="arena,ignore=turn")


@pytest.mark.parametrize("models", ["yxz", "xyz", "zyx"])
def test_ratings_in_a_list_of_their_own_belong_to_the_replies_that_they_name(models):
    """CodeUltraFeedback's layout: replies and annotations say which model wrote them."""
    ratings = {"x": "2", "y": "5", "z": "3"}
    replies = {"x": BAD, "y": GOOD, "z": "So."}
    record = {
        "instruction": Q,
        "responses": [{"model": name, "response": replies[name]} for name in "xyz"],
        "annotations": [
            {"model": name, "rating": ratings[name], "rationale": "so"} for name in models
        ],
        "preference": "readability",
    }
    columns = "prompt=instruction,responses=responses[].response,scores=annotations[].rating"
    assert_read(load_pairs([record], columns=columns)[0])
    for item in record["annotations"]:  # without names, their places tell
        del item["model"]
    (pair,) = load_pairs([record], columns=columns)
    assert pair["chosen"] == replies["xyz"[models.index("y")]]


def test_a_choice_of_several_people_is_by_votes():
    record = NAMED["PandaLM"][1]
    for votes, over in (((1, 1, 2), BAD), ((0, 0, 2), GOOD), ((0, 1, 2), ""), ((0, 0, 0), "")):
        judged = {f"annotator{i}": vote for i, vote in enumerate(votes, 1)}
        (pair,) = load_pairs([{**record, **judged}], format="pandalm")
        assert pair["chosen"] == over if over else pair["tied"] == [(0, 1)]


def test_a_list_in_one_column_is_no_vote():
    record = {"prompt": Q, "a": GOOD, "b": BAD, "preference": [1, 0]}
    with pytest.raises(UserError, match="choice must be one of"):
        load_pairs([record], columns="responses=a|b,choice=preference")


def test_every_turn_that_is_answered_several_times_is_a_comparison(capsys):
    first = NAMED["PRISM"][1]["conversation_history"]
    again = [{"turn": 1, **AGAIN[0]}] + [
        {"turn": 1, "role": "model", "content": text, "score": score, "if_chosen": score > 50}
        for text, score in (("No idea.", 20), ("Rain.", 70), ("Rain, I think.", 70))
    ]
    record = {**NAMED["PRISM"][1], "conversation_history": first + again}
    one, two = load_pairs([record], format="prism")
    assert_read(one)
    assert "conversation_id" not in capsys.readouterr().out
    assert two["prompt"] == [*FINE, AGAIN[0]]
    assert two["responses"] == ["Rain.", "Rain, I think.", "No idea."]
    assert (two["over"], two["tied"]) == ([(0, 2), (1, 2)], [(0, 1)])
    assert (one["id"], two["id"]) == ("c1/1", "c1/2")
    with pytest.raises(UserError, match=r"record 1, comparison 2: .*empty"):
        again[1]["content"] = ""
        load_pairs([record], format="prism")
    with pytest.raises(UserError, match="no turn of its conversation_history is answered more"):
        load_pairs([{**record, "conversation_history": first[:2]}], format="prism")


def test_candidates_of_the_last_message_are_replies():
    record = READ["Amazon Nova"]
    *asked, last = record["messages"]
    system = {"system": [{"text": "Be kind."}]}
    (pair,) = load_pairs([{**record, **system}])
    assert pair["prompt"] == [{"role": "system", "content": "Be kind."}, ASK]
    more = [*last["candidates"], {"content": [{"text": "So."}], "preferenceLabel": "non-preferred"}]
    (pair,) = load_pairs([{"messages": [*asked, {"role": "assistant", "candidates": more}]}])
    assert (pair["responses"], pair["over"]) == ([GOOD, BAD, "So."], [(0, 1), (0, 2)])
    for wrong, said in ((more[:1], "needs a preferred candidate"), ([{}], "preferenceLabel None")):
        with pytest.raises(UserError, match=said):
            load_pairs([{"messages": [*asked, {"role": "assistant", "candidates": wrong}]}])


@pytest.mark.parametrize(("status", "ties"), [("tie", 1), ("unchanged", 0), ("swapped", 0)])
def test_a_pair_that_a_column_calls_a_tie_is_one(status, ties, capsys):
    (pair,) = load_pairs([{**READ["Argilla's Orca"], "status": status}])
    assert (pair.get("over"), pair.get("tied")) == (([], [(0, 1)]) if ties else (None, None))
    said = "pairs that 'status' calls a tie, which are read as ties: 1"
    assert (said in capsys.readouterr().out) == bool(ties)
    (pair,) = load_pairs([{**TEXTS, "status": status}], columns="ignore=status")
    assert_read(pair)
    assert "tied" not in pair


@pytest.mark.parametrize("sides", [("chosen", "rejected"), ("preferred", "best_not")])
def test_a_reply_that_is_the_word_tie_calls_nothing_a_tie(sides):
    record = {
        "prompt": "What is worn at the neck?",
        **dict(zip(sides, ("Tie", "draw"), strict=True)),
    }
    (pair,) = load_pairs([record], columns="chosen={},rejected={}".format(*sides))
    assert pair["chosen"] == "Tie"
    assert "tied" not in pair


@pytest.mark.parametrize("none", ["N/A", None, "nan", ""])
def test_a_response_without_a_score_is_left_out_and_counted(none, capsys):
    record = {"prompt": Q, "responses": ["So.", BAD, GOOD], "scores": [none, "2", 5]}
    assert_read(load_pairs([record])[0])
    ranked = {"prompt": Q, "responses": ["So.", BAD, GOOD], "ranks": [none, 2, "1"]}
    assert_read(load_pairs([ranked])[0])
    said = "responses without a score or rank, which are left out: 1"
    assert capsys.readouterr().out.count(said) == 2
