# The two commands are `make demo` and `make test`; the rest are their parts.
.PHONY: help demo test crash chaos bench fuzz setup fmt lint crds clean
.DEFAULT_GOAL := help

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: ## a company's line from kubectl apply to the recruiter's screen; ARGS=--once ends by itself, CLUSTER=mine uses your own cluster
	@CLUSTER="$(CLUSTER)" scripts/demo $(ARGS)

test: ## everything that proves it; SUITES="unit it" for some only
	@scripts/test $(SUITES)

crash: ## the controller killed at every point, alone and as leader of two, stopped past its lease; lines by the hundred; long outages
	@CRASH=all scripts/test crash

chaos: ## 20,000 messages while replicas are killed, the store goes away, connections and acks get lost; CHAOS_SEED=n draws them again
	@CHAOS=all scripts/test chaos

bench: ## fifty lines at once against the accounts' limit alone; the router against a plain one for Node.js; WHAT=lines or router for one
	@scripts/bench $(WHAT)

fuzz: ## looks for ten minutes for texts that break the transcript reader; TARGET=split or signature for the webhook, TIME=60 for a minute
	@scripts/fuzz $(or $(TIME),600) $(TARGET)

setup: ## installs what tests and the demo need, pinned, into ~/.cache/clientnumber
	@scripts/setup

fmt: ## formats the code
	cargo fmt --all

lint: ## clippy, warnings denied
	cargo clippy --locked --all-features --all-targets -- -D warnings

crds: ## writes crds/ from the code
	cargo run --locked --quiet -- crds --write crds

clean: ## removes what was compiled and run in this tree; the cache stays
	rm -rf target .run tests/clients/node_modules
