# syntax=docker/dockerfile:1

# Both images are pinned by tag. Where builds must be the same byte for byte, add the digests:
# docker buildx imagetools inspect IMAGE prints them.
FROM rust:1.95-slim-bookworm AS build

WORKDIR /src
COPY . .

# A C compiler and libc's headers, for SQLite, are in the image. The caches are the builder's: they
# make the next build short and are in no layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin vitalsign \
    && install -D --mode=755 target/release/vitalsign /out/usr/local/bin/vitalsign \
    && install -d --owner=65532 --group=65532 /out/var/lib/vitalsign

# libc, libgcc and the roots that TLS trusts; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot

COPY --from=build /out/usr/local/bin/vitalsign /usr/local/bin/vitalsign
# Where the history is kept by default; owned by the user below, and so is a new volume there.
COPY --from=build --chown=65532:65532 /out/var/lib/vitalsign /var/lib/vitalsign

# By number, so that an orchestrator sees that it is not root.
USER 65532:65532
WORKDIR /var/lib/vitalsign
ENV VITALSIGN_LISTEN=0.0.0.0:8080
EXPOSE 8080

# Liveness alone: a container whose dependency is down must not be restarted for that. Without a URL
# the configured listener is asked, over TLS where it has that. A file elsewhere than in the working
# directory is named by VITALSIGN_CONFIG, which the service and this both read.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/vitalsign", "probe"]

ENTRYPOINT ["/usr/local/bin/vitalsign"]
CMD ["serve"]
