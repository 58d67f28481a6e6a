include(embed)

# dm_layer(NAME DIR [NEEDS LAYER] [LIBS TARGET...] [WITHOUT DIR...])
# One static library per layer from every .c below DIR, those below WITHOUT left out: they are a
# layer of their own. NEEDS names the layer directly on the left
# and with it, transitively, all further left. LIBS are third-party wrappers: their headers stay
# private to the layer (a library is included by its one wrapper and nowhere else).
# Scripts for a server, DIR/scripts/*.lua, are embedded (embed.cmake).
# A main.c in the directory belongs to the program, not to the library.
function(dm_layer NAME DIR)
    cmake_parse_arguments(ARG "" "" "NEEDS;LIBS;WITHOUT" ${ARGN})
    file(GLOB_RECURSE SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${DIR}/*.c)
    list(FILTER SOURCES EXCLUDE REGEX "/main\\.c$")
    foreach(OTHER ${ARG_WITHOUT})
        list(FILTER SOURCES EXCLUDE REGEX "^${CMAKE_SOURCE_DIR}/${OTHER}/")
    endforeach()
    if(NOT SOURCES)
        add_library(dm_${NAME} INTERFACE)
        target_include_directories(dm_${NAME} INTERFACE
                                   ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/common)
        foreach(NEED ${ARG_NEEDS})
            target_link_libraries(dm_${NAME} INTERFACE dm_${NEED})
        endforeach()
        return()
    endif()
    add_library(dm_${NAME} STATIC ${SOURCES})
    target_include_directories(dm_${NAME} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/common)
    foreach(NEED ${ARG_NEEDS})
        target_link_libraries(dm_${NAME} PUBLIC dm_${NEED})
    endforeach()
    target_link_libraries(dm_${NAME} PRIVATE ${ARG_LIBS})
    if(EXISTS ${CMAKE_SOURCE_DIR}/${DIR}/scripts)
        dm_embed(dm_${NAME} ${CMAKE_SOURCE_DIR}/${DIR}/scripts)
    endif()
endfunction()
