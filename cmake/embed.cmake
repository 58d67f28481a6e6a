# dm_embed(TARGET DIR)
# Makes the text of every .lua in DIR a macro of a header, a string literal: admit_slot.lua becomes
# DM_SCRIPT_ADMIT_SLOT of "embedded/<layer>_scripts.h" for the target dm_<layer>, which alone sees
# it.
#
# Run as a script (OUT and FILES set) it writes that header.
if(CMAKE_SCRIPT_MODE_FILE)
    set(TEXT "/* Made by cmake/embed.cmake. */\n#pragma once\n")
    foreach(FILE ${FILES})
        get_filename_component(NAME ${FILE} NAME_WE)
        string(TOUPPER ${NAME} NAME)
        file(READ ${FILE} BODY)
        string(REPLACE "\\" "\\\\" BODY "${BODY}")
        string(REPLACE "\"" "\\\"" BODY "${BODY}")
        string(REPLACE "\n" "\\n\" \\\n    \"" BODY "${BODY}")
        string(APPEND TEXT "\n#define DM_SCRIPT_${NAME} \\\n    \"${BODY}\"\n")
    endforeach()
    file(WRITE ${OUT} "${TEXT}")
    return()
endif()

set(DM_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(dm_embed TARGET DIR)
    file(GLOB FILES CONFIGURE_DEPENDS ${DIR}/*.lua)
    string(REGEX REPLACE "^dm_" "" LAYER ${TARGET})
    set(OUT ${CMAKE_BINARY_DIR}/embedded/${LAYER}_scripts.h)
    string(REPLACE ";" "$<SEMICOLON>" LIST "${FILES}")
    add_custom_command(OUTPUT ${OUT} DEPENDS ${FILES} ${DM_EMBED_SCRIPT} VERBATIM
                       COMMAND ${CMAKE_COMMAND} -DOUT=${OUT} "-DFILES=${LIST}"
                               -P ${DM_EMBED_SCRIPT})
    target_sources(${TARGET} PRIVATE ${OUT})
    target_include_directories(${TARGET} PRIVATE ${CMAKE_BINARY_DIR})
endfunction()
